//! Moments and durations as they are typed: `90`, `1.5s`, `1m30s`, `2h05m`.

use crate::base::Nanos;

/// The longest that is taken: a hundred years.
const SECONDS_MAX: f64 = 3.2e9;

pub fn parse_moment(text: &str) -> Result<Nanos, String> {
    let wrong = || "not a time; use 90, 1.5s, 1m30s, 2h05m".to_owned();
    let mut seconds = 0.0;
    let mut number = String::new();
    let mut has_any = false;
    for c in text.trim().chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3_600.0,
            'd' => 86_400.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * unit;
        number.clear();
        has_any = true;
    }
    if !number.is_empty() {
        seconds += number.parse::<f64>().map_err(|_| wrong())?;
        has_any = true;
    }
    if has_any && seconds <= SECONDS_MAX { Ok(Nanos((seconds * 1e9) as u64)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases =
            [("90", 90_000), ("1.5s", 1_500), ("1m30s", 90_000), ("2h05m", 7_500_000), ("0", 0)];
        for (text, ms) in cases {
            assert_eq!(parse_moment(text), Ok(Nanos::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1x", "..", "-1", "1e9999", "99999999999d"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
