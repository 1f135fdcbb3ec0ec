//! The programs that a batch of examples is computed with.

use super::Supervised;
use super::taps::Wanted;
use crate::{Call, Loss, Losses, Mode, Network, Port};
use quadric_autodiff::{Program, Tensor, Tracer};
use quadric_core::Targets;
use quadric_linalg::{Result, Scalar};
use std::ops::Range;

/// The name of an input of programs: a column of the square root of Λ.
pub(super) const COLUMN: &str = "column";

/// What is computed for a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Job {
    /// The sum of the losses.
    Value,
    /// The same, and its gradient.
    Gradient,
    /// A linear map, for so many vectors.
    Map(Map, usize),
    /// The gradient of each example.
    Each(Targets),
    /// What goes through the layers.
    Layers(Wanted),
    /// For each example, the sums of the squares of its gradient over the segments of the parameters.
    Squares(Targets),
    /// The same for what so many square-root columns of Λ give, each.
    SquaresOfColumns(usize),
    /// For each example, and so many random vectors, the quadratic forms of a matrix by segments of the parameters.
    Forms(Summand, usize),
}

/// What is added up over the examples.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Summand {
    Hessian,
    Functional,
}

/// A linear map at a point, of what belongs to a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Map {
    /// Second derivatives of the sum of the losses.
    Hessian,
    /// `Σ (∂ℓ_n/∂f_n) ∇²f_n`.
    Functional,
    /// `Σ J_nᵀ Λ_n J_n`.
    GaussNewton,
    /// `Σ g_n g_nᵀ` of the gradients with the targets of the data.
    Outer,
    /// The same with drawn targets, the mean over draws.
    OuterSampled { draws: usize, seed: u64 },
    /// From parameters to outputs: J.
    Forward,
    /// From outputs to parameters: Jᵀ.
    Backward,
    /// From parameters to examples: `g_nᵀ v`.
    Slopes(Targets),
    /// From examples to parameters: `Σ a_n g_n`.
    Combine(Targets),
}

/// What a vector has entries for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Parameters,
    /// One for each example.
    Examples,
    /// Those of the outputs for each example.
    Outputs,
}

impl Map {
    /// What it maps from and to.
    pub(super) fn sides(self) -> (Side, Side) {
        match self {
            Self::Forward => (Side::Parameters, Side::Outputs),
            Self::Backward => (Side::Outputs, Side::Parameters),
            Self::Slopes(_) => (Side::Parameters, Side::Examples),
            Self::Combine(_) => (Side::Examples, Side::Parameters),
            _ => (Side::Parameters, Side::Parameters),
        }
    }
}

impl Job {
    /// What the targets depend on that are drawn for it, and which draws.
    pub(super) fn draws(self) -> Option<(u64, Range<usize>)> {
        let of = |targets| match targets {
            Targets::Sampled { draw, seed } => Some((seed, draw..draw + 1)),
            Targets::Data => None,
        };
        match self {
            Self::Map(Map::OuterSampled { draws, seed }, _) => Some((seed, 0..draws)),
            Self::Map(Map::Slopes(t) | Map::Combine(t), _) | Self::Each(t) | Self::Squares(t) => {
                of(t)
            }
            _ => None,
        }
    }
}

/// What the first output of a network is for one example.
pub(crate) struct Outputs {
    /// What the targets are.
    pub(crate) target: Port,
    /// Length of the last axis.
    pub(crate) classes: usize,
    /// Entries.
    pub(super) each: usize,
}

impl Outputs {
    pub(crate) fn of(network: &Network, loss: Loss) -> Result<Self> {
        let program = network.program(1, Mode::Evaluate)?;
        let output = program.output_type(0);
        Ok(Self {
            target: loss.target(&output.shape[1..])?,
            classes: output.shape[output.shape.len() - 1],
            each: output.len(),
        })
    }
}

/// What the programs of a batch start from.
pub(super) struct Start<'t> {
    pub(super) parameters: Tensor<'t>,
    pub(super) output: Tensor<'t>,
    pub(super) target: Tensor<'t>,
    /// The loss of each example.
    pub(super) losses: Tensor<'t>,
    /// What drawn targets depend on: `(draws, n, 2)`.
    pub(super) keys: Option<Tensor<'t>>,
}

impl<T: Scalar> Supervised<T> {
    /// Traces a batch. The program's inputs are the parameters and what [`Shared::point`](super::Shared::point) gives.
    pub(super) fn start<'t>(&self, t: &'t Tracer, job: Job, examples: usize) -> Start<'t> {
        let shared = &*self.shared;
        let network = &shared.network;
        let parameters = t.input("parameters", [network.layout().len()]);
        let buffers = t.input("buffers", [network.buffers().len()]);
        let ports = network.inputs().iter();
        let inputs: Vec<Tensor<'_>> = ports.map(|p| p.input(t, examples)).collect();
        let target = shared.target.input(t, examples);
        let call = Call {
            parameters,
            buffers,
            inputs: &inputs,
            mode: shared.mode,
            key: shared.needs_key().then(|| t.index_input("key", [2])),
        };
        let output = network.trace(t, call).outputs[0];
        let Losses { values, .. } = shared.loss.apply(output, target);
        Start {
            parameters,
            output,
            target,
            losses: values,
            keys: job
                .draws()
                .map(|(_, draws)| t.index_input("keys", [draws.len(), examples, 2])),
        }
    }

    pub(super) fn program(&self, job: Job, examples: usize) -> Result<Program> {
        match job {
            Job::Map(map, vectors) => self.mapped(job, map, examples)?.batch(&["vector"], vectors),
            Job::Layers(wanted) => self.tapped_program(wanted, examples),
            Job::Forms(summand, draws) => self.forms_program(summand, draws, examples),
            Job::Each(_) => self.each(job, examples, |t, s| {
                let scores = self.scores(t, s).sum(&[0]);
                t.vjp(&[s.output], &[s.parameters], &[scores])[0]
            }),
            Job::Squares(_) => self.each(job, examples, |t, s| {
                let scores = self.scores(t, s).sum(&[0]);
                self.squares(t.vjp(&[s.output], &[s.parameters], &[scores])[0])
            }),
            Job::SquaresOfColumns(columns) => {
                let program = self.each(job, examples, |t, s| {
                    let column = t.direction(COLUMN, s.output.shape());
                    let root = self.shared.loss.root(s.output, s.target, column);
                    self.squares(t.vjp(&[s.output], &[s.parameters], &[root])[0])
                })?;
                program.batch(&[COLUMN], columns)
            }
            Job::Value => Program::trace(|t| vec![self.start(t, job, examples).losses.sum_all()]),
            Job::Gradient => Program::trace(|t| {
                let s = self.start(t, job, examples);
                let value = s.losses.sum_all();
                vec![value, t.grad(value, &[s.parameters])[0]]
            }),
        }
    }

    /// A map for one vector.
    fn mapped(&self, job: Job, map: Map, examples: usize) -> Result<Program> {
        Program::trace(|t| {
            let s = self.start(t, job, examples);
            let side = match map.sides().0 {
                Side::Parameters => s.parameters.shape(),
                Side::Examples => s.losses.shape(),
                Side::Outputs => s.output.shape(),
            };
            let v = t.direction("vector", side);
            let forward = |v| along(s.output, s.parameters, v);
            let backward = |v| t.vjp(&[s.output], &[s.parameters], &[v])[0];
            vec![match map {
                Map::Hessian => {
                    let gradient = t.grad(s.losses.sum_all(), &[s.parameters])[0];
                    along(gradient, s.parameters, v)
                }
                Map::Functional => {
                    let slope = t.grad(s.losses.sum_all(), &[s.output])[0].detach();
                    along(backward(slope), s.parameters, v)
                }
                Map::GaussNewton => {
                    let slope = t.grad(s.losses.sum_all(), &[s.output])[0];
                    backward(along(slope, s.output, forward(v)))
                }
                Map::Outer | Map::OuterSampled { .. } => {
                    backward(outer(self.scores(t, &s), forward(v)))
                }
                Map::Forward => forward(v),
                Map::Backward => backward(v),
                Map::Slopes(_) => inner(self.scores(t, &s) * forward(v).expand(0)).sum(&[0]),
                Map::Combine(_) => {
                    let scores = self.scores(t, &s);
                    backward((scores * spread(v.expand(0), scores)).sum(&[0]))
                }
            }]
        })
    }

    /// The derivatives of the losses by the outputs, `(1, n, ..)` with the targets of the data or `(draws, n, ..)`.
    fn scores<'t>(&self, t: &'t Tracer, s: &Start<'t>) -> Tensor<'t> {
        let Some(keys) = s.keys else {
            return t.grad(s.losses.sum_all(), &[s.output])[0].expand(0);
        };
        let (draws, n) = (keys.dim(0), keys.dim(1));
        // All draws are one batch.
        let repeat = |v: Tensor<'t>| {
            let shape = v.shape();
            let all = v.expand(0);
            all.broadcast_to(std::iter::once(draws).chain(shape.iter().copied()))
                .reshape(std::iter::once(draws * n).chain(shape.iter().skip(1).copied()))
        };
        let (output, target) = (repeat(s.output), repeat(s.target));
        let keys = keys.reshape([draws * n, 2]);
        let losses = self.shared.loss.sampled(output, target, keys).values;
        let scores = t.grad(losses.sum_all(), &[output])[0];
        scores.reshape(std::iter::once(draws).chain(s.output.shape()))
    }

    /// What is computed of an example, for `examples` of them.
    fn each(
        &self,
        job: Job,
        examples: usize,
        of_one: impl for<'t> Fn(&'t Tracer, &Start<'t>) -> Tensor<'t>,
    ) -> Result<Program> {
        let one = Program::trace(|t| vec![of_one(t, &self.start(t, job, 1))])?;
        let ports = self.shared.network.inputs().iter();
        let mut names: Vec<&str> = ports.map(|p| p.name.as_str()).collect();
        names.push(&self.shared.target.name);
        names.extend(job.draws().map(|_| "keys"));
        one.batch(&names, examples)
    }

    /// Sums of the squares of a gradient over the segments of the parameters.
    fn squares<'t>(&self, gradient: Tensor<'t>) -> Tensor<'t> {
        let segments = self.shared.network.layout().segments().iter();
        let mut squares = segments.map(|s| {
            let part = gradient.slice(0, s.offset..s.offset + s.len());
            part.square().sum_all().expand(0)
        });
        let first = squares.next().expect("networks have parameters");
        first.concat(&squares.collect::<Vec<_>>(), 0)
    }
}

/// The derivative of a value by another one along a vector.
fn along<'t>(value: Tensor<'t>, by: Tensor<'t>, vector: Tensor<'t>) -> Tensor<'t> {
    value.tracer().jvp(&[value], &[by], &[vector])[0]
}

/// The mean over draws of `s sᵀ v` for the scores s `(draws, n, ..)` of each example.
fn outer<'t>(scores: Tensor<'t>, v: Tensor<'t>) -> Tensor<'t> {
    let along = inner(scores * v.expand(0));
    (scores * spread(along, scores)).mean(&[0])
}

/// The sum over all axes but the first two.
fn inner(v: Tensor<'_>) -> Tensor<'_> {
    let axes: Vec<isize> = (2..v.shape().len() as isize).collect();
    v.sum(&axes)
}

/// Numbers for draws and examples, for all entries of a value that belong to them.
fn spread<'t>(v: Tensor<'t>, like: Tensor<'t>) -> Tensor<'t> {
    let (own, shape) = (v.shape(), like.shape());
    let ones = std::iter::repeat_n(1, shape.len() - 2);
    v.reshape(own.into_iter().chain(ones)).broadcast_to(shape)
}
