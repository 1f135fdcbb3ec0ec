//! Targets from features and true weights.

use super::design::Design;
use super::{Kind, Options};
use quadric_linalg::random::{SeedTree, Stream};

/// Share of the rows that the last feature of quasi-separable data gives away.
const GIVEN_AWAY: f64 = 0.3;

/// The weights that targets are made with, scaled so that x·w has the standard deviation that was asked for.
pub(super) struct Truths {
    pub(super) weights: Vec<Vec<f64>>,
}

impl Truths {
    pub(super) fn new(options: &Options, design: &Design, seeds: SeedTree) -> Self {
        let d = options.columns;
        let groups = d.div_ceil(options.group_size);
        let count = ((options.active * groups as f64).round() as usize).clamp(1, groups);
        let mut active = vec![false; groups];
        let order = seeds.child("groups").stream(0).permutation(groups);
        order[..count].iter().for_each(|g| active[*g] = true);
        let vectors = if options.kind == Kind::Softmax {
            options.classes
        } else {
            1
        };
        let vector = |k: usize| {
            let mut stream = seeds.stream(k as u64);
            let draw = |j: usize| {
                let v = stream.normal();
                let given = options.quasi_separable && j + 1 == d;
                if active[j / options.group_size] && !given {
                    v
                } else {
                    0.0
                }
            };
            let mut w: Vec<f64> = (0..d).map(draw).collect();
            let deviation = design.variance(&w).sqrt();
            if deviation > 0.0 {
                w.iter_mut().for_each(|v| *v *= options.signal / deviation);
            }
            w
        };
        Self {
            weights: (0..vectors).map(vector).collect(),
        }
    }

    /// The target of a row, or nothing if separable data need another row.
    pub(super) fn target(
        &self,
        options: &Options,
        indices: &[u32],
        values: &mut [f64],
        stream: &mut Stream,
    ) -> Option<f64> {
        let margin = |k: usize| -> f64 {
            let w = &self.weights[k];
            indices
                .iter()
                .zip(values.iter())
                .map(|(j, v)| w[*j as usize] * v)
                .sum()
        };
        match options.kind {
            Kind::Regression => Some(margin(0) + options.noise * stream.normal()),
            Kind::Poisson => Some(poisson(libm::exp(margin(0)), stream)),
            Kind::Softmax => softmax(options, &margin, stream),
            Kind::Logistic if options.separable => {
                let m = margin(0);
                (m != 0.0 && m.abs() >= options.margin).then(|| m.signum())
            }
            Kind::Logistic => {
                let m = margin(0);
                let probability = 1.0 / (1.0 + libm::exp(-m));
                let mut y = if stream.uniform() < probability {
                    1.0
                } else {
                    -1.0
                };
                if options.quasi_separable {
                    let given = stream.uniform() < GIVEN_AWAY;
                    y = if given { 1.0 } else { y };
                    *values.last_mut().expect("the last feature is stored") =
                        f64::from(u8::from(given));
                }
                Some(y)
            }
        }
    }
}

/// The class of the largest log odds, after Gumbel noise unless the classes are separable.
fn softmax(options: &Options, margin: &dyn Fn(usize) -> f64, stream: &mut Stream) -> Option<f64> {
    let (mut best, mut second, mut class) = (f64::NEG_INFINITY, f64::NEG_INFINITY, 0);
    for k in 0..options.classes {
        let noise = -libm::log(-libm::log(stream.uniform().max(f64::MIN_POSITIVE)));
        let m = margin(k) + if options.separable { 0.0 } else { noise };
        if m > best {
            (second, best, class) = (best, m, k);
        } else {
            second = second.max(m);
        }
    }
    let apart = !options.separable || (best - second >= options.margin && best > second);
    apart.then_some(class as f64)
}

/// A Poisson count: how many arrivals at unit rate fall before the mean.
fn poisson(mean: f64, stream: &mut Stream) -> f64 {
    let (mut time, mut count) = (0.0, 0.0);
    loop {
        time -= libm::log(1.0 - stream.uniform());
        if time > mean {
            return count;
        }
        count += 1.0;
    }
}
