//! What the paper, and others after it, claim; what was measured; whether the two agree.

use super::measured::{Measured, Variant};
use serde::Serialize;

/// Classes of the digits.
const CLASSES: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Agrees,
    Disagrees,
    /// What was run does not say.
    Open,
}

impl Verdict {
    fn of(agrees: Option<bool>) -> Self {
        match agrees {
            Some(true) => Self::Agrees,
            Some(false) => Self::Disagrees,
            None => Self::Open,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "does not agree",
            Self::Open => "cannot be judged",
        }
    }
}

/// A claim beside what was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Claim {
    /// What is claimed.
    pub(super) claim: &'static str,
    /// Who does.
    pub(super) source: &'static str,
    /// What would agree with it.
    pub(super) criterion: String,
    pub(super) measured: String,
    pub(super) verdict: Verdict,
}

/// All claims, for the ends of the trainings. A network that has not learned the digits says nothing about minima.
pub(super) fn claims(ends: &[Measured], depths: &[usize]) -> Vec<Claim> {
    let trained = ends.iter().filter(|m| m.is_trained()).cloned();
    let ends: &[Measured] = &trained.collect::<Vec<_>>();
    let mut depths = depths.to_vec();
    depths.sort_unstable();
    depths.dedup();
    vec![
        shallow(ends, &depths),
        deeper(ends, &depths),
        outliers(ends),
    ]
}

/// For each seed, a number without batch normalisation over the same with it.
fn ratios(ends: &[Measured], depth: usize, number: fn(&Measured) -> Option<f64>) -> Vec<f64> {
    let of = |batch_norm: bool, seed: u64| {
        let variant = Variant {
            depth,
            batch_norm,
            residual: true,
        };
        let end = ends
            .iter()
            .find(|m| m.variant == variant && m.seed == seed)?;
        number(end).filter(|v| *v > 0.0)
    };
    let mut seeds: Vec<u64> = ends.iter().map(|m| m.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let ratio = |&seed: &u64| Some(of(false, seed)? / of(true, seed)?);
    seeds.iter().filter_map(ratio).collect()
}

/// The geometric mean; `None` of none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|v| v.ln()).sum();
    Some((sum / values.len() as f64).exp()).filter(|m| m.is_finite())
}

/// A ratio with those of all seeds.
fn spread(ratios: &[f64]) -> String {
    let each: Vec<String> = ratios.iter().map(|r| short(*r)).collect();
    match mean(ratios) {
        Some(_) if ratios.len() == 1 => each.concat(),
        Some(mean) => format!("{} ({})", short(mean), each.join(", ")),
        None => "unknown".to_owned(),
    }
}

/// A number with three digits.
pub(super) fn short(v: f64) -> String {
    let digits = match v.abs() {
        0.0 => 0,
        a if !(1e-3..1e5).contains(&a) => return format!("{v:.2e}"),
        a => (2.0 - a.log10().floor()).max(0.0) as usize,
    };
    format!("{v:.digits$}")
}

fn shallow(ends: &[Measured], depths: &[usize]) -> Claim {
    let depth = depths[0];
    let found = ratios(ends, depth, Measured::largest);
    Claim {
        claim: "Shallow networks without batch normalisation are not sharper than with it.",
        source: "Yao et al., arXiv 1912.07145",
        criterion: format!(
            "ResNet-{depth}: the largest eigenvalue without is at most 1.5 times that with it"
        ),
        measured: format!("{} times", spread(&found)),
        verdict: Verdict::of(mean(&found).map(|m| m <= 1.5)),
    }
}

fn deeper(ends: &[Measured], depths: &[usize]) -> Claim {
    let found: Vec<Vec<f64>> = depths
        .iter()
        .map(|&d| ratios(ends, d, Measured::trace))
        .collect();
    let means: Option<Vec<f64>> = found.iter().map(|r| mean(r)).collect();
    let means = means.filter(|m| m.len() > 1);
    let parts = depths.iter().zip(&found);
    let parts: Vec<String> = parts
        .map(|(d, r)| format!("{} at depth {d}", spread(r)))
        .collect();
    Claim {
        claim: "The deeper the network, the more its curvature rises without batch normalisation.",
        source: "Yao et al., arXiv 1912.07145",
        criterion: "the trace without over that with it grows from each depth to the next"
            .to_owned(),
        measured: parts.join("; "),
        verdict: Verdict::of(means.map(|m| m.windows(2).all(|pair| pair[1] > pair[0]))),
    }
}

fn outliers(ends: &[Measured]) -> Claim {
    let counts: Vec<usize> = ends.iter().filter_map(Measured::outliers).collect();
    let near = |&&count: &&usize| count.abs_diff(CLASSES - 1) <= 1;
    let agreeing = counts.iter().filter(near).count();
    let bulks: Vec<f64> = ends.iter().filter_map(Measured::bulk).collect();
    let bulk = bulks.iter().copied().reduce(f64::min);
    let bulk = bulk.map_or_else(String::new, |share| {
        let percent = 100.0 * share;
        format!("; at least {percent:.1} % of all eigenvalues are closer to 0 than a twentieth of the largest")
    });
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2);
    let middle = middle.map_or_else(String::new, |m| format!(" (median {m})"));
    Claim {
        claim: "About as many eigenvalues as classes, less one, stand apart from a bulk at 0 at the end.",
        source: "Papyan, arXiv 2008.11865; Ghorbani et al., arXiv 1901.10159",
        criterion: format!(
            "in most networks, the widest gap of the largest eigenvalues is behind {} to {CLASSES} of them",
            CLASSES - 2
        ),
        measured: format!("in {agreeing} of {}{middle}{bulk}", counts.len()),
        verdict: Verdict::of(Some(2 * agreeing > counts.len()).filter(|_| !counts.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric::report::{Curvature, Eigenvalue, Spectrum, Trace};

    /// The end of a training with these largest eigenvalues and this trace.
    fn end(depth: usize, batch_norm: bool, top: &[f64], trace: f64) -> Measured {
        let pair = |&value: &f64| Eigenvalue {
            value,
            residual: 0.0,
            converged: true,
        };
        let trace = Trace {
            value: trace,
            low: trace,
            high: trace,
            level: 1.0,
            products: 1,
            draws: 0,
        };
        let hessian = Spectrum {
            top: top.iter().map(pair).collect(),
            trace: Some(trace),
            ..Spectrum::default()
        };
        Measured {
            variant: Variant {
                depth,
                batch_norm,
                residual: true,
            },
            seed: 0,
            epoch: 1,
            last: true,
            diverged: None,
            report: Some(Curvature {
                accuracy: Some(1.0),
                hessian: Some(hessian),
                ..Curvature::default()
            }),
        }
    }

    #[test]
    fn claims_are_judged_by_their_criteria() {
        let ten: Vec<f64> = (0..12).map(|i| if i < 9 { 10.0 } else { 1.0 }).collect();
        let flat: Vec<f64> = (0..12).map(|i| 10.0 / f64::from(i + 1)).collect();
        let mut ends = vec![
            end(8, true, &ten, 20.0),
            end(8, false, &ten, 10.0),
            end(14, true, &ten, 20.0),
            end(14, false, &flat, 30.0),
        ];
        let verdicts = |ends: &[Measured]| {
            let all = claims(ends, &[14, 8]);
            all.iter().map(|c| c.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(&ends), [Verdict::Agrees; 3]);
        ends[1] = end(8, false, &[16.0, 15.0], 100.0);
        ends[2] = end(14, true, &flat, 20.0);
        assert_eq!(verdicts(&ends), [Verdict::Disagrees; 3]);
        // A negative trace is no curvature to compare, and one depth shows no growth.
        ends[0] = end(8, true, &[-1.0], -2.0);
        let found = verdicts(&ends);
        ends.iter_mut()
            .for_each(|m| m.report.iter_mut().for_each(|r| r.accuracy = Some(0.5)));
        assert_eq!(verdicts(&ends), [Verdict::Open; 3]);
        assert_eq!(found[..2], [Verdict::Open; 2]);
        assert_eq!(claims(&ends, &[14])[1].verdict, Verdict::Open);
    }

    #[test]
    fn numbers_have_three_digits() {
        let found = [0.0, 1.234_5, -12.345, 123_456.0, 0.012_34, 4e-5].map(short);
        assert_eq!(found, ["0", "1.23", "-12.3", "1.23e5", "0.0123", "4.00e-5"]);
    }
}
