//! Quadratic forms of the second derivatives of each example, with random signs of its own.
//!
//! Hutchinson's estimate of a trace has the same signs for all examples, so that they scatter together. Here every example has its
//! own. Of a layer that multiplies one row with its weights, the block `H ⊗ a aᵀ` of an example has the trace `|a|² tr H` for the
//! second derivatives H by its outputs, of which there are far fewer.

use super::Supervised;
use super::squares::add_rows;
use super::taps::{KEYS, One};
use super::traced::{Job, Summand};
use quadric_autodiff::{Data, Program, Tensor, Tracer};
use quadric_core::Matrix;
use quadric_linalg::{Error, Result, Scalar};
use std::ops::Range;

/// Draws that are computed together, at most.
const DRAWS: usize = 16;

impl<T: Scalar> Supervised<T> {
    /// See [`Model::forms`](quadric_core::Model::forms).
    pub(super) fn forms_of_examples(
        &self,
        x: &[T],
        matrix: Matrix,
        draws: Range<usize>,
        seed: u64,
    ) -> Result<Vec<Vec<f64>>> {
        self.check_point(x)?;
        self.check_separable("the curvature of an example")?;
        let summand = match matrix {
            Matrix::Hessian => Summand::Hessian,
            Matrix::Functional => Summand::Functional,
            _ => {
                let expected = "the Hessian or its functional part";
                return Err(Error::argument("matrix", format!("{matrix:?}"), expected));
            }
        };
        let segments = self.shared.network.layout().segments().len();
        let (mut forms, mut room, zero) = (Vec::new(), Vec::new(), [T::of(0.0)]);
        for first in draws.clone().step_by(DRAWS) {
            let some = first..(first + DRAWS).min(draws.end);
            let job = Job::Forms(summand, some.len());
            let mut sums = vec![vec![0.0; segments]; some.len()];
            self.sweep(self.examples_at_a_time(job)?, |start, n, batch| {
                let keys = [Vec::new(), self.drawn(seed, some.clone(), start, n)];
                let mut point = self.shared.point(x, batch, &keys);
                point.insert(2, Data::Float(&zero));
                room.resize(some.len() * n * segments, T::of(0.0));
                let mut executable = self.take(job, n)?;
                let done = executable.run(&point, &mut [&mut room]);
                self.give_back(job, n, executable);
                done?;
                let of_draws = room.chunks_exact(n * segments);
                let pairs = sums.iter_mut().zip(of_draws);
                pairs.for_each(|(sums, of_draw)| add_rows(sums, of_draw));
                Ok(())
            })?;
            forms.append(&mut sums);
        }
        Ok(forms)
    }

    pub(super) fn forms_program(
        &self,
        summand: Summand,
        draws: usize,
        examples: usize,
    ) -> Result<Program> {
        let one = Program::trace(|t| {
            let one = self.tapped(t);
            let key = t.index_input(KEYS, [1, 2]).reshape([2]);
            let forms: Vec<Tensor<'_>> = self.forms(t, &one, summand, key);
            let (first, others) = forms.split_first().expect("networks have parameters");
            vec![first.concat(others, 0)]
        })?;
        self.of_many(&one, true, examples)?.batch(&[KEYS], draws)
    }

    /// The quadratic form of each segment, for one example.
    fn forms<'t>(
        &self,
        t: &'t Tracer,
        one: &One<'t>,
        summand: Summand,
        key: Tensor<'t>,
    ) -> Vec<Tensor<'t>> {
        let losses = self.shared.loss.apply(one.output, one.target).values;
        let gradient = |by: &[Tensor<'t>]| match summand {
            Summand::Hessian => t.grad(losses.sum_all(), by),
            Summand::Functional => {
                let slope = t.grad(losses.sum_all(), &[one.output])[0].detach();
                t.vjp(&[one.output], by, &[slope])
            }
        };
        let probes = one.tapped.iter().map(|layer| layer.probe);
        let probes: Vec<Tensor<'t>> = probes.collect();
        let (of_segments, of_probes) = (gradient(&one.segments), gradient(&probes));
        // What is moved in the place of each segment, and in which direction.
        let (by, directions): (Vec<Tensor<'t>>, Vec<Tensor<'t>>) = (0..one.segments.len())
            .map(|i| {
                let mut layers = one.tapped.iter().zip(&of_probes);
                let layer = layers.find(|(layer, by)| {
                    layer.weight == i && is_outer(of_segments[i], layer.inputs, **by)
                });
                match layer {
                    Some((layer, _)) => {
                        let length = layer.inputs.square().sum_all().sqrt();
                        (layer.probe, signs(t, key, layer.probe) * length)
                    }
                    None => (one.segments[i], signs(t, key, one.segments[i])),
                }
            })
            .unzip();
        let along = t.jvp(&gradient(&by), &by, &directions);
        let forms = along.into_iter().zip(directions);
        forms.map(|(a, d)| (a * d).sum_all().expand(0)).collect()
    }
}

/// Signs in the shape of a tensor.
fn signs<'t>(t: &'t Tracer, key: Tensor<'t>, like: Tensor<'t>) -> Tensor<'t> {
    let draws = t.random(key, like.shape());
    draws.less(draws.fill_like(0.5)) * 2.0 - 1.0
}

/// Whether the gradient of weights is the outer product of one row of inputs and the gradient by its product with them: then the
/// weights are used nowhere else.
fn is_outer<'t>(weights: Tensor<'t>, inputs: Tensor<'t>, outputs: Tensor<'t>) -> bool {
    let square = |v: Tensor<'t>| v.square().sum_all();
    let (inner, outer) = (square(inputs), square(outputs));
    let found = square(weights);
    inputs.dim(0) == 1 && (found.is(inner * outer) || found.is(outer * inner))
}
