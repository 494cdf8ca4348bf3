//! Whether the layouts that the resolver assumes are those of the V8 it reads. Those of measured releases are; for any other the functions of
//! Node's own scripts are the test: they are on every stack, and what they must look like is known.

/// Functions of Node that must look right before lines are believed.
const PLAUSIBLE_MIN: u32 = 4;

/// Functions of Node after which the layouts are taken for wrong, if most of them look wrong.
const JUDGED_MIN: u32 = 8;

/// How far lines are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Measured, or tested.
    Full,
    /// So far too little was seen: lines are shown as approximate.
    #[default]
    Testing,
    /// Names, but no lines.
    Failed,
}

/// The test of one session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SelfTest {
    trust: Trust,
    n_plausible: u32,
    n_implausible: u32,
}

impl SelfTest {
    pub(super) fn new(is_measured: bool) -> Self {
        let trust = if is_measured { Trust::Full } else { Trust::Testing };
        Self { trust, ..Self::default() }
    }

    pub(super) const fn trust(&self) -> Trust {
        self.trust
    }

    /// A function of one of Node's scripts was read: do its tables decode, and does its source end where it says?
    pub(super) fn judge(&mut self, is_plausible: bool) {
        if self.trust != Trust::Testing {
            return;
        }
        if is_plausible {
            self.n_plausible += 1;
        } else {
            self.n_implausible += 1;
        }
        if self.n_plausible >= PLAUSIBLE_MIN && self.n_plausible > self.n_implausible {
            self.trust = Trust::Full;
        } else if self.n_plausible + self.n_implausible >= JUDGED_MIN {
            self.trust = Trust::Failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(judgements: &[bool]) -> Trust {
        let mut test = SelfTest::new(false);
        for judgement in judgements {
            test.judge(*judgement);
        }
        test.trust()
    }

    #[test]
    fn a_few_functions_decide() {
        assert_eq!(SelfTest::new(true).trust(), Trust::Full);
        assert_eq!(after(&[]), Trust::Testing);
        assert_eq!(after(&[true; 3]), Trust::Testing);
        assert_eq!(after(&[true, false, true, true, true]), Trust::Full);
        assert_eq!(after(&[false; 8]), Trust::Failed);
        assert_eq!(after(&[false, true, false, true, false, true, false, false]), Trust::Failed);
    }
}
