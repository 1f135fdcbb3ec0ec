//! Which eigenvalues are wanted: their order, what may still displace them, and how many lie together.

use super::Which;

/// The numbers of all values (ascending) in the order of desire: the first `count` are wanted.
pub(super) fn order(which: Which, values: &[f64]) -> Vec<usize> {
    let m = values.len();
    match which {
        Which::Largest => (0..m).rev().collect(),
        Which::Smallest => (0..m).collect(),
        Which::BothEnds => (0..m)
            .map(|i| if i % 2 == 0 { m - 1 - i / 2 } else { i / 2 })
            .collect(),
        Which::LargestMagnitude => {
            let mut all: Vec<usize> = (0..m).rev().collect();
            all.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
            all
        }
    }
}

/// Sorts the numbers of wanted values as they are reported: both ends are one descending list.
pub(super) fn report_order(which: Which, values: &[f64], wanted: &mut [usize]) {
    wanted.sort_by(|a, b| {
        let (a, b) = (values[*a], values[*b]);
        match which {
            Which::Smallest => a.total_cmp(&b),
            Which::LargestMagnitude => b.abs().total_cmp(&a.abs()),
            Which::Largest | Which::BothEnds => b.total_cmp(&a),
        }
    });
}

/// The ends of the wanted values: an eigenvalue beyond one of them would be wanted, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    above: f64,
    below: f64,
}

impl Edge {
    /// From the wanted values in the order of desire; there is at least one.
    pub(super) fn new(which: Which, wanted: &[f64]) -> Self {
        let last = wanted[wanted.len() - 1];
        let (above, below) = match which {
            Which::Largest => (last, f64::NEG_INFINITY),
            Which::Smallest => (f64::INFINITY, last),
            Which::LargestMagnitude => (last.abs(), -last.abs()),
            Which::BothEnds if wanted.len() == 1 => (last, f64::NEG_INFINITY),
            Which::BothEnds => {
                let before = wanted[wanted.len() - 2];
                (last.max(before), last.min(before))
            }
        };
        Self { above, below }
    }

    /// True if the interval `value` ± `residual` reaches more than `slack` into the wanted values.
    pub(super) fn is_passed_by(&self, value: f64, residual: f64, slack: f64) -> bool {
        value + residual > self.above + slack || value - residual < self.below - slack
    }

    /// True if `value` is within `slack` of an end, so that a further copy of it would not change what is wanted.
    fn is_near(&self, value: f64, slack: f64) -> bool {
        (value - self.above).abs() <= slack || (value - self.below).abs() <= slack
    }
}

/// True if at least `width` of the wanted values lie within `slack` of each other, away from the ends: there may be more
/// copies than a block of `width` vectors shows.
pub(super) fn crowded(edge: Edge, wanted: &[f64], width: usize, slack: f64) -> bool {
    wanted.iter().any(|v| {
        let near = wanted.iter().filter(|u| (*u - v).abs() <= slack).count();
        near >= width && !edge.is_near(*v, slack)
    })
}
