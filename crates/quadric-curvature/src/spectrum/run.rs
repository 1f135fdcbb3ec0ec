//! The parts of an analysis, one after the other.

use super::{
    At, BlockSpectrum, Eigenvalue, Numbers, Phase, Saved, Spectrum, SpectrumOptions, SpectrumWatch,
    Trace,
};
use crate::blocks::{Block, DiagonalBlock};
use crate::traces::{ExampleSum, ModelTraceOptions};
use crate::watched::Watched;
use crate::written::symmetric;
use faer::Mat;
use quadric_core::random::SeedTree;
use quadric_core::{Error, ErrorKind, Ints, LinearOperator, Result, Scalar};
use quadric_linalg::algebra::Dense;
use quadric_linalg::estimate::{
    DensityOptions, Eigenspace, Estimate, LanczosQuadrature, QuadratureState, TraceMethod,
    TraceOptions, deflated_trace,
};
use quadric_linalg::spectrum::{
    EigenMethod, EigenOptions, Eigenpairs, SavedSearch, Search, Which, eigenpairs,
};
use std::sync::{Mutex, PoisonError};

/// The matrix of an operator, exactly symmetric, and the products that it took.
pub(super) fn written<T: Scalar>(
    op: &dyn LinearOperator<T>,
    watch: &mut SpectrumWatch<'_, T>,
) -> Result<(Dense<T>, usize)> {
    let n = op.shape().0;
    let watch = Mutex::new(watch);
    let counted = |products: usize| {
        let at = At {
            phase: Phase::Dense,
            products,
            of: n,
            save: &Saved::default,
        };
        (watch.lock().unwrap_or_else(PoisonError::into_inner))(&at)
    };
    let watched = Watched::new(op, &counted);
    let dense = symmetric(&watched)?;
    Ok((dense, watched.products()))
}

/// Products of a first look at how a trace by them would scatter, and how many times the draws of the first look at one by
/// examples it takes for the other to be looked at.
const LOOK: usize = 32;
const MANY: usize = 4;

/// Vectors of a product in the search for eigenpairs, and so the multiplicity that it sees at once.
const BLOCK: usize = 2;

/// An analysis at work.
pub(super) struct Run<'a, 'w, T: Scalar> {
    op: &'a dyn LinearOperator<T>,
    layers: &'a [Block],
    options: &'a SpectrumOptions,
    saved: Numbers<T>,
    watch: Mutex<&'a mut SpectrumWatch<'w, T>>,
    exact: bool,
    seed: SeedTree,
}

/// Which eigenpairs are looked for.
#[derive(Clone, Copy)]
struct Ends {
    which: Which,
    count: usize,
    top: usize,
    bottom: usize,
}

impl<'a, 'w, T: Scalar> Run<'a, 'w, T> {
    pub(super) fn new(
        op: &'a dyn LinearOperator<T>,
        layers: &'a [Block],
        options: &'a SpectrumOptions,
        saved: Saved<T>,
        watch: &'a mut SpectrumWatch<'w, T>,
        exact: bool,
    ) -> Result<Self> {
        let seed = SeedTree::new(options.seed).child("spectrum");
        let Saved(saved) = saved;
        let (rows, k) = (op.shape().0, saved.values.len());
        let lengths = [saved.residuals.len(), saved.converged.0.len()];
        if saved.vectors.len() != rows * k || lengths != [k, k + usize::from(saved.done > 0)] {
            let text = "the saved eigenpairs do not belong to this matrix";
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        Ok(Self {
            op,
            layers,
            options,
            saved,
            watch: Mutex::new(watch),
            exact,
            seed,
        })
    }

    /// All parts that are not done yet, and what is known then.
    pub(super) fn finish(mut self, examples: Option<&ExampleSum<'_, T>>) -> Result<Spectrum<T>> {
        for part in self.saved.done..3 {
            match part {
                0 => self.ends()?,
                1 => self.trace(examples)?,
                _ => self.tops()?,
            }
            self.saved.done += 1;
        }
        let density = self.density()?;
        self.spectrum(density)
    }

    fn tell(
        &self,
        phase: Phase,
        products: usize,
        of: usize,
        save: &dyn Fn() -> Saved<T>,
    ) -> Result<()> {
        let at = At {
            phase,
            products,
            of,
            save,
        };
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match watch(&at).is_break() {
            true => Err(Error::new(ErrorKind::Stopped, "the analysis was stopped")),
            false => Ok(()),
        }
    }

    /// Runs a part that cannot be divided on an operator that counts.
    fn counted<R>(
        &mut self,
        phase: Phase,
        of: usize,
        part: impl FnOnce(&Self, &dyn LinearOperator<T>) -> Result<R>,
    ) -> Result<R> {
        let this = &*self;
        let save = || Saved(this.saved.clone());
        let told = |products: usize| match this.tell(phase, products, of, &save) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        };
        let watched = Watched::new(this.op, &told);
        let result = part(this, &watched)?;
        let products = watched.products() as u64;
        self.saved.products += products;
        Ok(result)
    }

    fn wanted(&self) -> Option<Ends> {
        let n = self.op.shape().0;
        let top = self.options.top.min(n);
        let bottom = match self.op.properties().psd {
            true => 0,
            false => self.options.bottom.min(n),
        };
        // One search for both ends, as wide at each as at the wider.
        let (which, count) = match (top, bottom) {
            (0, 0) => return None,
            (_, 0) => (Which::Largest, top),
            (0, _) => (Which::Smallest, bottom),
            _ => (Which::BothEnds, (2 * top.max(bottom)).min(n)),
        };
        Some(Ends {
            which,
            count,
            top,
            bottom,
        })
    }

    fn eigen_method(&self) -> EigenMethod {
        match self.exact {
            true => EigenMethod::Dense,
            false => EigenMethod::Auto,
        }
    }

    /// Products that a search may take; those with a matrix that is written down are no products of the operator.
    fn eigen_products(&self) -> usize {
        match self.exact {
            true => usize::MAX,
            false => self.options.eigen_products,
        }
    }

    fn ends(&mut self) -> Result<()> {
        let Some(wanted) = self.wanted() else {
            self.saved.converged = Ints(vec![1]);
            return Ok(());
        };
        let options = EigenOptions {
            count: wanted.count,
            which: wanted.which,
            tolerance: self.options.tolerance,
            max_products: self.eigen_products(),
            // Wider blocks are no cheaper for a vector, and take more of them.
            block: (!self.exact).then_some(BLOCK),
            method: self.eigen_method(),
            ..EigenOptions::default()
        };
        let pairs = match self.exact {
            true => eigenpairs(self.op, &options, self.seed)?,
            false => self.search(&options)?,
        };
        let (n, k) = (self.op.shape().0, pairs.values.len());
        self.saved.vectors = Vec::with_capacity(n * k);
        for column in pairs.vectors.col_iter() {
            self.saved.vectors.extend(column.iter().copied());
        }
        let flags = pairs.converged.iter().chain([&pairs.complete]);
        self.saved.converged = Ints(flags.map(|&f| u64::from(f)).collect());
        (self.saved.values, self.saved.residuals) = (pairs.values, pairs.residuals);
        self.saved.products += pairs.products as u64;
        (self.saved.search_vectors, self.saved.search_numbers) = (Vec::new(), Vec::new());
        self.saved.search_counters = Ints::default();
        Ok(())
    }

    fn search(&mut self, options: &EigenOptions) -> Result<Eigenpairs<T>> {
        let mut search = match self.saved.search_counters.0.is_empty() {
            true => Search::new(self.op, options, None, self.seed)?,
            false => {
                let saved = SavedSearch {
                    vectors: std::mem::take(&mut self.saved.search_vectors),
                    numbers: std::mem::take(&mut self.saved.search_numbers),
                    counters: std::mem::take(&mut self.saved.search_counters.0),
                };
                Search::load(&saved, options, self.seed)?
            }
        };
        while !search.step(self.op)? {
            let save = || {
                let saved = search.save();
                Saved(Numbers {
                    search_vectors: saved.vectors,
                    search_numbers: saved.numbers,
                    search_counters: Ints(saved.counters),
                    ..self.saved.clone()
                })
            };
            let products = search.progress().products;
            self.tell(Phase::Eigenpairs, products, options.max_products, &save)?;
        }
        search.finish(self.op)
    }

    /// The eigenpairs that converged.
    fn known(&self) -> Result<Eigenspace<T>> {
        let n = self.op.shape().0;
        let places = (0..self.saved.values.len()).filter(|&j| self.saved.converged.0[j] == 1);
        let places: Vec<usize> = places.collect();
        let vectors = Mat::from_fn(n, places.len(), |i, j| {
            self.saved.vectors[places[j] * n + i]
        });
        let values = places.iter().map(|&j| self.saved.values[j]);
        Eigenspace::new(vectors, values.collect())
    }

    /// The trace by the examples, if there are any, or by products where these scatter less for the same work.
    fn trace(&mut self, examples: Option<&ExampleSum<'_, T>>) -> Result<()> {
        if self.options.trace <= 0.0 {
            return Ok(());
        }
        let Some(sum) = examples else {
            let (total, layers) = self.by_products(self.options.trace_products)?;
            self.keep_trace(&total, &layers);
            return Ok(());
        };
        let options = ModelTraceOptions {
            target: self.options.trace,
            level: self.options.level,
            max_draws: self.options.trace_products,
            seed: self.options.seed,
        };
        loop {
            let (count, goal) = (self.saved.draws.count(), self.saved.draws.goal());
            if self.saved.looked == 0 && count > 0 && goal > MANY * count {
                self.look(sum, &options)?;
            }
            if self.saved.by_products == 1 || sum.step(&mut self.saved.draws, &options)? {
                break;
            }
            let this = &*self;
            let save = || Saved(this.saved.clone());
            this.tell(Phase::Trace, this.saved.draws.count(), goal, &save)?;
        }
        let by_examples = sum.found(&self.saved.draws, &options)?;
        let (mut total, layers) = match self.saved.by_products {
            0 => (by_examples.total, by_examples.blocks),
            _ => self.by_products(self.options.trace_products)?,
        };
        total.draws = by_examples.total.draws;
        total.products += self.saved.looked as usize;
        self.saved.gradients = by_examples.gradients;
        self.keep_trace(&total, &layers);
        Ok(())
    }

    /// Whether products give a shorter interval than draws for the same work, by the first of both.
    fn look(&mut self, sum: &ExampleSum<'_, T>, options: &ModelTraceOptions) -> Result<()> {
        let draws = sum.found(&self.saved.draws, options)?.total.value;
        let of_draws = self.saved.draws.gradients_of_draws();
        let most = LOOK.min(self.options.trace_products);
        let (products, _) = self.by_products(most)?;
        let of_products = products.products as f64 * sum.of_product(self.op)?;
        // The lengths of both fall with the root of the work.
        let scattered = products.value.half_width() * of_products.sqrt();
        let is_better = scattered < draws.half_width() * of_draws.sqrt();
        self.saved.by_products = u64::from(is_better);
        self.saved.looked = products.products as u64;
        Ok(())
    }

    /// The trace of the operator and those of its layers by so many products at most, with the eigenpairs that are known.
    fn by_products(&mut self, most: usize) -> Result<(Trace, Vec<Estimate>)> {
        let (n, known) = (self.op.shape().0, self.known()?);
        let options = TraceOptions {
            method: match self.exact {
                true => TraceMethod::Exact,
                false => TraceMethod::Auto,
            },
            target: self.options.trace,
            level: self.options.level,
            max_products: match self.exact {
                true => n,
                false => most,
            },
            parts: self.layers.iter().map(|l| l.range.clone()).collect(),
            ..TraceOptions::default()
        };
        let of = options.max_products;
        let report = self.counted(Phase::Trace, of, |this, op| {
            deflated_trace(op, &known, &options, this.seed)
        })?;
        let total = Trace {
            value: report.total,
            products: report.products,
            draws: 0,
            met: report.met,
        };
        Ok((total, report.parts))
    }

    fn keep_trace(&mut self, total: &Trace, layers: &[Estimate]) {
        let (products, draws) = (total.products as f64, total.draws as f64);
        let mut numbers = vec![products, draws, f64::from(u8::from(total.met))];
        for e in std::iter::once(&total.value).chain(layers) {
            numbers.extend([e.value, e.low, e.high, e.level]);
        }
        self.saved.trace = numbers;
    }

    /// The largest eigenvalue of the block of each layer.
    fn tops(&mut self) -> Result<()> {
        if !self.options.layer_tops || self.options.trace <= 0.0 {
            return Ok(());
        }
        let layers = self.layers;
        for layer in &layers[self.saved.tops.len() / 3..] {
            let of = self.eigen_products();
            let found = self.counted(Phase::Layers, of, |this, op| {
                let options = EigenOptions {
                    tolerance: 1e-2,
                    max_products: of,
                    method: this.eigen_method(),
                    ..EigenOptions::default()
                };
                let block = DiagonalBlock::new(op, layer.range.clone());
                eigenpairs(&block, &options, this.seed.child(&layer.name))
            })?;
            let converged = f64::from(u8::from(found.is_converged()));
            let top = [found.values[0], found.residuals[0], converged];
            self.saved.tops.extend(top);
        }
        Ok(())
    }

    fn density(&mut self) -> Result<Option<quadric_linalg::estimate::Density>> {
        let Some(options) = self.options.density else {
            return Ok(None);
        };
        let known = self.known()?;
        let (op, n) = (self.op, self.op.shape().0);
        // What is written down is decomposed, however many steps were asked for.
        let (dense, steps) = match self.exact {
            true => (usize::MAX, n),
            false => (0, options.steps),
        };
        let options = DensityOptions {
            level: self.options.level,
            dense,
            steps,
            ..options
        };
        let mut run = match self.saved.diagonal.is_empty() {
            true => LanczosQuadrature::start(op, Some(&known), &options, self.seed)?,
            false => {
                let state = QuadratureState {
                    done: self.saved.quadrature_done as usize,
                    diagonal: std::mem::take(&mut self.saved.diagonal),
                    beside: std::mem::take(&mut self.saved.beside),
                    vectors: std::mem::take(&mut self.saved.basis),
                };
                LanczosQuadrature::resume(op, Some(&known), &options, state)?
            }
        };
        let probes = options.probes;
        let of = probes * options.steps.min(n);
        while run.step()? {
            let products = run.progress().0 * probes;
            let save = || {
                let state = run.state().clone();
                Saved(Numbers {
                    quadrature_done: state.done as u64,
                    diagonal: state.diagonal,
                    beside: state.beside,
                    basis: state.vectors,
                    ..self.saved.clone()
                })
            };
            self.tell(Phase::Density, products, of, &save)?;
        }
        let products = run.progress().0 * probes;
        let density = run.density()?;
        self.saved.products += products as u64;
        Ok(Some(density))
    }

    fn spectrum(self, density: Option<quadric_linalg::estimate::Density>) -> Result<Spectrum<T>> {
        let (n, saved) = (self.op.shape().0, &self.saved);
        let complete = saved.converged.0.last() == Some(&1);
        let value = |j: usize| Eigenvalue {
            value: saved.values[j],
            residual: saved.residuals[j],
            converged: saved.converged.0[j] == 1 && complete,
        };
        let (mut top, mut bottom): (Vec<usize>, Vec<usize>) = Default::default();
        if let Some(wanted) = self.wanted() {
            let count = saved.values.len();
            match wanted.which {
                Which::Smallest => bottom = (0..count).collect(),
                _ => {
                    top = (0..wanted.top).collect();
                    bottom = (count - wanted.bottom..count).rev().collect();
                }
            }
        }
        let vectors = Mat::from_fn(n, top.len(), |i, j| saved.vectors[top[j] * n + i]);
        let estimates = saved.trace.get(3..).unwrap_or_default().chunks_exact(4);
        let estimates: Vec<Estimate> = estimates
            .map(|e| Estimate {
                value: e[0],
                low: e[1],
                high: e[2],
                level: e[3],
            })
            .collect();
        let trace = estimates.first().map(|&value| Trace {
            value,
            products: saved.trace[0] as usize,
            draws: saved.trace[1] as usize,
            met: saved.trace[2] == 1.0,
        });
        let layers = self.layers.iter().zip(estimates.iter().skip(1)).enumerate();
        let layers = layers.map(|(i, (layer, &trace))| BlockSpectrum {
            block: layer.clone(),
            trace,
            top: saved.tops.chunks_exact(3).nth(i).map(|t| Eigenvalue {
                value: t[0],
                residual: t[1],
                converged: t[2] == 1.0,
            }),
        });
        Ok(Spectrum {
            layers: layers.collect(),
            top: top.into_iter().map(value).collect(),
            bottom: bottom.into_iter().map(value).collect(),
            vectors,
            trace,
            density,
            products: saved.products as usize,
            gradients: saved.gradients,
            exact: self.exact,
        })
    }
}
