//! The trainings, and what is measured along them.

use super::hessian;
use super::measured::{Found, Measured, Search, Tried, Variant};
use super::networks::{Digits, network};
use super::saved::Checkpoint;
use super::start;
use crate::args::PyhessianArgs;
use crate::bar::Bar;
use quadric::core::{ErrorKind, Result};
use quadric::nn::{Loss, SgdOptions, Supervised, Training};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

const LOSS: Loss = Loss::CROSS_ENTROPY;
/// Examples that go through a network at a time.
const AT_A_TIME: usize = 256;

/// All trainings.
pub(super) struct Trainings<'a> {
    pub(super) args: &'a PyhessianArgs,
    pub(super) digits: &'a Digits,
    pub(super) interrupt: &'a AtomicBool,
    pub(super) bar: &'a Bar,
    pub(super) checkpoint: Option<&'a Checkpoint>,
    /// The work that is done, and that there is to do.
    pub(super) work: [f64; 2],
}

/// A training at its end.
struct Trained {
    seed: u64,
    tried: Tried,
    /// After how many epochs it diverged, and how.
    diverged: Option<(usize, String)>,
    moments: Vec<Moment>,
}

/// A network after some epochs.
struct Moment {
    epoch: usize,
    parameters: Vec<f32>,
    buffers: Vec<f32>,
}

impl Trainings<'_> {
    /// Trains and measures each network from all seeds, but for what was found before.
    pub(super) fn run(mut self, variants: &[Variant], mut found: Found) -> Result<Found> {
        let all = || {
            variants
                .iter()
                .flat_map(|v| (0..self.args.seeds).map(move |s| (v, s)))
        };
        let left = all().filter(|(v, seed)| !found.has(**v, *seed));
        self.work[1] = left.map(|(v, seed)| self.training(v, seed)).sum();
        for &variant in variants {
            let seeds = 0..self.args.seeds;
            let left: Vec<u64> = seeds.filter(|s| !found.has(variant, *s)).collect();
            if left.is_empty() {
                continue;
            }
            let examples = self.digits.hessian.clone();
            let problem = Supervised::new(network(variant, self.args.width)?, LOSS, examples)?;
            let mut problem = problem.with_batch(AT_A_TIME);
            for seed in left {
                let until = self.work[0] + self.training(&variant, seed);
                let trained = match found.rate(variant) {
                    Some(rate) => self.train(variant, seed, rate)?,
                    None => self.search(variant, seed, &mut found)?,
                };
                problem = self.measure(variant, trained, problem, &mut found)?;
                if let Some(checkpoint) = self.checkpoint {
                    checkpoint.write(&found)?;
                }
                self.work[0] = until;
            }
        }
        Ok(found)
    }

    /// The epochs after which the Hessian is measured: the first training of a network is followed on its way.
    fn moments(&self, seed: u64) -> Vec<usize> {
        let last = self.args.epochs;
        let mut moments = match seed {
            0 => vec![0, last / 3, last],
            _ => vec![last],
        };
        moments.dedup();
        moments
    }

    /// The work of a training and its measurements, in numbers that compare.
    fn training(&self, v: &Variant, seed: u64) -> f64 {
        let before = self.moments(seed).len() as f64 - 1.0;
        let measured = before * self.measuring(v, false) + self.measuring(v, seed == 0);
        let trainings = if seed == 0 { self.args.rates.len() } else { 1 };
        measured + (trainings * self.args.epochs) as f64 * self.epoch(v)
    }

    fn epoch(&self, v: &Variant) -> f64 {
        3.0 * (v.depth * self.digits.train.count) as f64
    }

    fn measuring(&self, v: &Variant, whole: bool) -> f64 {
        4.0 * hessian::products(whole) * (v.depth * self.digits.hessian.count) as f64
    }

    fn tell(&self, part: &str, work: f64) -> ControlFlow<()> {
        let [done, total] = self.work;
        self.bar.tell_share(part, (done + work) / total);
        match self.interrupt.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The training with the least loss in its last epoch, of one at each rate.
    fn search(&mut self, variant: Variant, seed: u64, found: &mut Found) -> Result<Trained> {
        let rates = self.args.rates.iter();
        let all: Result<Vec<Trained>> = rates.map(|r| self.train(variant, seed, *r)).collect();
        let all = all?;
        let tried: Vec<Tried> = all.iter().map(|t| t.tried).collect();
        let loss = |t: &Trained| t.tried.loss.unwrap_or(f64::INFINITY);
        let least = all
            .into_iter()
            .reduce(|a, b| if loss(&b) < loss(&a) { b } else { a });
        let least = least.expect("there is a rate");
        found.searches.push(Search {
            variant,
            tried,
            rate: least.tried.rate,
        });
        Ok(least)
    }

    /// One training, which ends where it diverges.
    fn train(&mut self, variant: Variant, seed: u64, rate: f64) -> Result<Trained> {
        let options = SgdOptions {
            seed,
            ..SgdOptions::default()
        };
        let a = self.args;
        let (set, network) = (self.digits.train.clone(), network(variant, a.width)?);
        let begin = start::parameters(variant, a.width, a.start, seed, &self.digits.start)?;
        let training = Training::new(network, LOSS, set, options)?;
        let mut training = training.with_parameters(begin)?;
        let mut trained = Trained {
            seed,
            tried: Tried { rate, loss: None },
            diverged: None,
            moments: Vec::new(),
        };
        let moments = self.moments(seed);
        for epoch in 0..=a.epochs {
            if epoch > 0 {
                let part = format!("{variant}, seed {seed}, rate {rate}, epoch {epoch}");
                let rate = scheduled(rate, epoch - 1, a.epochs);
                match self.one_epoch(&part, variant, rate, &mut training)? {
                    Ok(loss) => trained.tried.loss = Some(loss),
                    Err(how) => {
                        trained.tried.loss = None;
                        trained.diverged = Some((epoch, how));
                        break;
                    }
                }
            }
            if moments.contains(&epoch) {
                trained.moments.push(Moment {
                    epoch,
                    parameters: training.parameters().to_vec(),
                    buffers: training.buffers().to_vec(),
                });
            }
        }
        Ok(trained)
    }

    /// One more epoch: its loss, or how it diverged.
    fn one_epoch(
        &mut self,
        part: &str,
        variant: Variant,
        rate: f64,
        training: &mut Training<f32>,
    ) -> Result<std::result::Result<f64, String>> {
        let work = self.epoch(&variant);
        let tell = &mut |done, of| self.tell(part, work * done as f64 / of as f64);
        let done = training.epoch(rate, tell);
        self.work[0] += work;
        match done {
            Ok(loss) => Ok(Ok(loss)),
            Err(e) if e.kind() == ErrorKind::NonFinite => Ok(Err(e.message().to_owned())),
            Err(e) => Err(e),
        }
    }

    /// The Hessian at the moments of a training. The problem comes back for the next.
    fn measure(
        &mut self,
        variant: Variant,
        trained: Trained,
        mut problem: Supervised<f32>,
        found: &mut Found,
    ) -> Result<Supervised<f32>> {
        let Trained { seed, tried, .. } = trained;
        let measured = |epoch, last| Measured {
            variant,
            seed,
            rate: tried.rate,
            epoch,
            last,
            diverged: None,
            report: None,
        };
        for moment in trained.moments {
            let mut now = measured(moment.epoch, moment.epoch == self.args.epochs);
            problem = problem.with_buffers(moment.buffers.clone())?;
            let (network, x) = (problem.network(), &moment.parameters);
            let set = &self.digits.train;
            let accuracy = network.accuracy(x, &moment.buffers, set, LOSS, AT_A_TIME)?;
            let whole = self.measuring(&variant, hessian::is_whole(&now));
            let part = format!("{variant}, seed {seed}, Hessian");
            let tell = |share: f64| self.tell(&part, whole * share);
            now.report = Some(hessian::measure(&now, &problem, x, accuracy, &tell)?);
            self.work[0] += whole;
            found.measured.push(now);
        }
        if let Some((epoch, how)) = trained.diverged {
            found.measured.push(Measured {
                diverged: Some(how),
                ..measured(epoch, true)
            });
        }
        Ok(problem)
    }
}

/// The rate of an epoch, counted from 0: a tenth after 4/9 of all, a hundredth after 6/9.
fn scheduled(rate: f64, epoch: usize, epochs: usize) -> f64 {
    match 9 * epoch / epochs {
        ..4 => rate,
        4..6 => rate / 10.0,
        6.. => rate / 100.0,
    }
}
