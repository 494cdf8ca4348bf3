//! Which columns of a table fit, how wide they are, and which go first.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A column as a table would like it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub align: Align,
    pub width_min: u16,
    pub width_max: u16,
    /// Columns of the highest rank go first when there is no room.
    pub rank: u8,
}

/// A column that has a place. `x` counts from the left edge of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub index: usize,
    pub x: u16,
    pub width: u16,
}

/// Blanks between columns, and at both edges half of it.
const GAP: u16 = 2;

/// The columns that fit, in their order; what is left over goes to the lowest ranks that can
/// grow.
pub fn place_columns(columns: &[Column], n_columns: u16) -> Vec<Placed> {
    let room = n_columns.saturating_sub(GAP);
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needed = |kept: &[usize]| {
        kept.iter().filter_map(|i| columns.get(*i)).map(|c| c.width_min).sum::<u16>()
            + GAP * (kept.len().saturating_sub(1) as u16)
    };
    while kept.len() > 1 && needed(&kept) > room {
        let worst = kept
            .iter()
            .enumerate()
            .max_by_key(|(_, i)| columns.get(**i).map(|c| c.rank))
            .map_or(0, |(at, _)| at);
        kept.remove(worst);
    }
    let mut placed: Vec<Placed> = kept
        .iter()
        .filter_map(|i| columns.get(*i).map(|c| (*i, c)))
        .map(|(index, column)| Placed { index, x: 0, width: column.width_min.min(room) })
        .collect();
    let mut left_over = room.saturating_sub(needed(&kept));
    let mut by_rank: Vec<&mut Placed> = placed.iter_mut().collect();
    by_rank.sort_by_key(|place| columns.get(place.index).map(|column| column.rank));
    for place in by_rank {
        let Some(column) = columns.get(place.index) else { continue };
        let extra = left_over.min(column.width_max.saturating_sub(place.width));
        place.width += extra;
        left_over -= extra;
    }
    let mut x = GAP / 2;
    for place in &mut placed {
        place.x = x;
        x += place.width + GAP;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_and_grow_by_rank() {
        let column = |width_min, width_max, rank| Column {
            title: "",
            align: Align::Left,
            width_min,
            width_max,
            rank,
        };
        let columns = [column(10, 20, 0), column(10, 10, 2), column(10, 10, 1)];
        let check = |w, expect: &[(usize, u16)]| {
            let placed = place_columns(&columns, w);
            let shown: Vec<_> = placed.iter().map(|p| (p.index, p.width)).collect();
            assert_eq!(shown, expect, "{w}");
        };
        check(100, &[(0, 20), (1, 10), (2, 10)]);
        check(36, &[(0, 10), (1, 10), (2, 10)]);
        check(35, &[(0, 20), (2, 10)]);
        check(15, &[(0, 13)]);
        check(4, &[(0, 2)]);
    }
}
