//! The trainings, and what is measured along them.

use super::measured::{Measured, Variant};
use crate::args::PyhessianArgs;
use crate::bar::Bar;
use crate::commands::curvature::document;
use quadric::autodiff::Array;
use quadric::core::{Error, ErrorKind, LinearOperator, Model, Result, Smooth, TwiceSmooth, vector};
use quadric::curvature::{Saved, Spectrum, SpectrumOptions, spectrum};
use quadric::data::{Dataset, embedded};
use quadric::linalg::DataMatrix;
use quadric::linalg::estimate::DensityOptions;
use quadric::linalg::random::SeedTree;
use quadric::nn::models::{Resnet, resnet};
use quadric::nn::{Examples, Loss, Network, SgdOptions, Supervised, Training};
use quadric::report::Curvature;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const LOSS: Loss = Loss::CROSS_ENTROPY;
/// Examples that go through a network at a time.
const AT_A_TIME: usize = 256;
/// Largest eigenvalues at the end of a training: more than there are classes.
const TOP: usize = 12;
/// Products that measurements take about: both ends and the trace, and with outliers and density.
const PRODUCTS: [f64; 2] = [150.0, 450.0];

/// The digits that networks are trained on, and those of them over which the Hessian is taken.
pub(super) struct Digits {
    train: Examples<f32>,
    hessian: Examples<f32>,
}

impl Digits {
    /// Draws the examples; the same for all trainings.
    pub(super) fn draw(a: &PyhessianArgs) -> Result<Self> {
        let data = embedded("digits")?;
        let all = data.rows();
        let mut stream = SeedTree::new(0).child("examples").stream(0);
        let order = stream.permutation(all);
        let count = a.examples.unwrap_or(all);
        if !(1..=all).contains(&count) {
            return Err(Error::argument("examples", count, &format!("1 to {all}")));
        }
        if a.hessian_examples == 0 {
            return Err(Error::argument("hessian-examples", 0, "at least 1"));
        }
        let few = a.hessian_examples.min(count);
        Ok(Self {
            train: examples(&data, &order[..count])?,
            hessian: examples(&data, &order[..few])?,
        })
    }

    pub(super) fn counts(&self) -> [usize; 2] {
        [self.train.count, self.hessian.count]
    }
}

/// Rows as images with pixels between -1 and 1.
fn examples(data: &Dataset, rows: &[usize]) -> Result<Examples<f32>> {
    let DataMatrix::Dense(x) = &data.x else {
        return Err(Error::data("the pixels of the digits are not dense"));
    };
    let pixels = rows.iter().flat_map(|&i| x.row(i));
    let labels = rows.iter().map(|&i| data.target[i] as i32);
    Ok(Examples {
        count: rows.len(),
        inputs: vec![Array::Float(
            pixels.map(|v| (v / 8.0 - 1.0) as f32).collect(),
        )],
        targets: Array::Index(labels.collect()),
    })
}

/// All trainings.
pub(super) struct Trainings<'a> {
    pub(super) args: &'a PyhessianArgs,
    pub(super) digits: &'a Digits,
    pub(super) interrupt: &'a AtomicBool,
    pub(super) bar: &'a Bar,
    /// The work that is done, and that there is in all.
    work: [f64; 2],
}

impl<'a> Trainings<'a> {
    pub(super) fn new(
        args: &'a PyhessianArgs,
        digits: &'a Digits,
        interrupt: &'a AtomicBool,
        bar: &'a Bar,
    ) -> Self {
        Self {
            args,
            digits,
            interrupt,
            bar,
            work: [0.0; 2],
        }
    }

    /// Trains and measures each network from all seeds.
    pub(super) fn run(mut self, variants: &[Variant]) -> Result<Vec<Measured>> {
        for variant in variants {
            let seeds = 0..self.args.seeds;
            let work: f64 = seeds.map(|seed| self.training(variant, seed)).sum();
            self.work[1] += work;
        }
        let mut found = Vec::new();
        for &variant in variants {
            let network = network(variant, self.args.width)?;
            let hessian = self.digits.hessian.clone();
            let problem = Supervised::new(network.clone(), LOSS, hessian)?;
            let mut problem = problem.with_batch(AT_A_TIME);
            for seed in 0..self.args.seeds {
                let until = self.work[0] + self.training(&variant, seed);
                problem = self.train(variant, seed, problem, &mut found)?;
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
        measured + self.args.epochs as f64 * self.epoch(v)
    }

    fn epoch(&self, v: &Variant) -> f64 {
        3.0 * (v.depth * self.digits.train.count) as f64
    }

    fn measuring(&self, v: &Variant, all: bool) -> f64 {
        4.0 * PRODUCTS[usize::from(all)] * (v.depth * self.digits.hessian.count) as f64
    }

    fn tell(&self, part: &str, work: f64) -> ControlFlow<()> {
        let [done, total] = self.work;
        self.bar.tell_share(part, (done + work) / total);
        match self.interrupt.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// One training, which ends where it diverges. The problem comes back for the next.
    fn train(
        &mut self,
        variant: Variant,
        seed: u64,
        mut problem: Supervised<f32>,
        found: &mut Vec<Measured>,
    ) -> Result<Supervised<f32>> {
        let options = SgdOptions {
            seed,
            ..SgdOptions::default()
        };
        let (network, set) = (problem.network().clone(), self.digits.train.clone());
        let mut training = Training::new(network, LOSS, set, options)?;
        for epoch in 0..=self.args.epochs {
            let mut measured = Measured {
                variant,
                seed,
                epoch,
                last: epoch == self.args.epochs,
                diverged: None,
                report: None,
            };
            if epoch > 0 {
                measured.diverged = self.one_epoch(&measured, &mut training)?;
            }
            if measured.diverged.is_some() {
                measured.last = true;
                found.push(measured);
                break;
            }
            if self.moments(seed).contains(&epoch) {
                problem = problem.with_buffers(training.buffers().to_vec())?;
                measured.report = Some(self.measure(&measured, &problem, &training)?);
                found.push(measured);
            }
        }
        Ok(problem)
    }

    /// One more epoch; how it diverged, if it did.
    fn one_epoch(&mut self, at: &Measured, training: &mut Training<f32>) -> Result<Option<String>> {
        let work = self.epoch(&at.variant);
        let part = format!("{}, seed {}, epoch {}", at.variant, at.seed, at.epoch);
        let tell = &mut |done, of| self.tell(&part, work * done as f64 / of as f64);
        let done = training.epoch(rate(self.args, at.epoch - 1), tell);
        self.work[0] += work;
        match done {
            Ok(_) => Ok(None),
            Err(e) if e.kind() == ErrorKind::NonFinite => Ok(Some(e.message().to_owned())),
            Err(e) => Err(e),
        }
    }

    /// The Hessian at the parameters and buffers of a training.
    fn measure(
        &mut self,
        at: &Measured,
        problem: &Supervised<f32>,
        training: &Training<f32>,
    ) -> Result<Curvature> {
        let (started, x) = (Instant::now(), training.parameters());
        let mut gradient = vec![0.0_f32; x.len()];
        let loss = problem.value_grad(x, &mut gradient)?;
        let (network, buffers) = (problem.network(), training.buffers());
        let accuracy = network.accuracy(x, buffers, &self.digits.train, LOSS, AT_A_TIME)?;
        let op = problem.hessian(x)?;
        let found = self.spectrum(at, &*op)?;
        let work = problem.gradient_work()?;
        Ok(Curvature {
            model: at.variant.to_string(),
            parameters: x.len() as u64,
            examples: problem.examples() as u64,
            loss,
            accuracy,
            gradient_norm: vector::norm2(&gradient),
            hessian: Some(document::spectrum(&found, None)?),
            gradient_equivalents: found.products as f64 * op.cost().product / work + 1.0,
            seconds: started.elapsed().as_secs_f64(),
            ..Curvature::default()
        })
    }

    /// Both ends and the trace; at the end of the first training also outliers and the density.
    fn spectrum(&mut self, at: &Measured, op: &dyn LinearOperator<f32>) -> Result<Spectrum<f32>> {
        let all = at.last && at.seed == 0;
        let density = DensityOptions {
            probes: 2,
            steps: 30,
            ..DensityOptions::default()
        };
        let lower = SpectrumOptions {
            top: 0,
            bottom: 1,
            trace: 0.0,
            density: None,
            dense: 0,
            ..SpectrumOptions::default()
        };
        let upper = SpectrumOptions {
            top: if all { TOP } else { 1 },
            bottom: usize::from(!all),
            trace: 0.05,
            trace_products: 64,
            density: Some(density).filter(|_| all),
            dense: 0,
            ..SpectrumOptions::default()
        };
        let whole = self.measuring(&at.variant, all);
        let part = format!("{}, seed {}, Hessian", at.variant, at.seed);
        let told = |before: usize, products: usize| {
            let share = (before + products) as f64 / PRODUCTS[usize::from(all)];
            self.tell(&part, whole * share.min(1.0))
        };
        let run = |options, before| {
            let (mut phase, mut earlier, mut products) = (None, before, 0);
            spectrum(op, &[], None, options, Saved::default(), &mut |now| {
                if phase != Some(now.phase) {
                    (phase, earlier) = (Some(now.phase), earlier + products);
                }
                products = now.products;
                told(earlier, products)
            })
        };
        let mut found = run(&upper, 0)?;
        if all {
            let rest = run(&lower, found.products)?;
            found.bottom = rest.bottom;
            found.products += rest.products;
        }
        self.work[0] += whole;
        Ok(found)
    }
}

/// The network of a variant, for digits.
pub(super) fn network(variant: Variant, width: usize) -> Result<Network> {
    resnet(Resnet {
        depth: variant.depth,
        image: [8, 8, 1],
        width,
        classes: 10,
        batch_norm: variant.batch_norm,
        residual: variant.residual,
    })
}

/// The rate of an epoch, counted from 0: a tenth after 4/9 of all, a hundredth after 6/9.
fn rate(a: &PyhessianArgs, epoch: usize) -> f64 {
    match 9 * epoch / a.epochs {
        ..4 => a.rate,
        4..6 => a.rate / 10.0,
        6.. => a.rate / 100.0,
    }
}
