//! Performance and data profiles: how many problems a method solves at what cost.

/// A step function: where it rises, and to what.
pub type Steps = Vec<(f64, f64)>;

/// Performance profiles (Dolan, Moré, Math. Prog. 91, 2002): for each method, the fraction of the problems that it solves at
/// no more than τ times the cost of the cheapest method, as steps in log₂ τ. `costs[method][problem]` is a positive number,
/// `None` where the problem is not solved; every method has all problems.
///
/// ```
/// use quadric_report::performance_profiles;
/// let profiles = performance_profiles(&[vec![Some(1.0), Some(8.0)], vec![Some(2.0), Some(4.0)]]);
/// assert_eq!(profiles[0], [(0.0, 0.5), (1.0, 1.0)]);
/// ```
pub fn performance_profiles(costs: &[Vec<Option<f64>>]) -> Vec<Steps> {
    let problems = costs.iter().map(Vec::len).max().unwrap_or(0);
    let cost = |method: &Vec<Option<f64>>, p: usize| method.get(p).copied().flatten();
    let best = |p: usize| costs.iter().filter_map(|m| cost(m, p)).reduce(f64::min);
    let ratios = |method: &Vec<Option<f64>>| {
        let ratio = |p| Some((cost(method, p)? / best(p)?).log2());
        (0..problems).filter_map(ratio).collect()
    };
    costs.iter().map(|m| steps(ratios(m), problems)).collect()
}

/// Data profiles (Moré, Wild, SIAM J. Optim. 20, 2009): for each method, the fraction of the problems that it solves at a cost
/// of no more than κ, as steps in κ. `costs` as in [`performance_profiles`].
pub fn data_profiles(costs: &[Vec<Option<f64>>]) -> Vec<Steps> {
    let problems = costs.iter().map(Vec::len).max().unwrap_or(0);
    let solved = |m: &Vec<Option<f64>>| m.iter().copied().flatten().collect();
    costs.iter().map(|m| steps(solved(m), problems)).collect()
}

/// The fraction of `all` at or below each value.
fn steps(mut values: Vec<f64>, all: usize) -> Steps {
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    let mut out = Steps::new();
    for (i, v) in values.iter().enumerate() {
        let fraction = (i + 1) as f64 / all as f64;
        match out.last_mut() {
            Some(last) if last.0 == *v => last.1 = fraction,
            _ => out.push((*v, fraction)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_by_hand() {
        // Three problems: the second is solved by one, the third by nobody.
        let costs = vec![
            vec![Some(3.0), None, None],
            vec![Some(12.0), Some(5.0), None],
        ];
        let third = 1.0 / 3.0;
        let performance = performance_profiles(&costs);
        assert_eq!(performance[0], [(0.0, third)]);
        assert_eq!(performance[1], [(0.0, third), (2.0, 2.0 * third)]);
        let data = data_profiles(&costs);
        assert_eq!(data[0], [(3.0, third)]);
        assert_eq!(data[1], [(5.0, third), (12.0, 2.0 * third)]);
    }

    #[test]
    fn nothing_is_an_empty_profile() {
        assert!(performance_profiles(&[]).is_empty());
        assert_eq!(
            data_profiles(&[vec![None], vec![]]),
            [Steps::new(), Steps::new()]
        );
    }
}
