//! A program run again and again on what it gave: recurrent networks.
//!
//! The rules follow from those of the body. The derivative needs values of every step: the scan that is differentiated is made
//! to give them as further outputs ([`Graph::extend`]), and a second scan, linear in the tangents, reads them.

mod rules;

use super::{Evaluated, Primitive, Site, Tangents, Types};
use crate::array::{Array, Operand};
use crate::graph::{Graph, Vars};
use crate::interpret;
use crate::program::{Equation, Program};
use crate::types::{Type, Var, with_leading};
use quadric_linalg::Scalar;
use std::ops::Range;
use std::sync::Arc;

/// `body` run `length` times.
///
/// Its inputs, and the arguments of the scan, are first `consts`, which are the same in every step, then `carries`, which the step
/// before gave, then slices of arrays along their first axis. Its outputs are first the carries for the next step, then `sums`,
/// which are added up over the steps, then values that are stacked along a new first axis. With `from_end` the last slices
/// come first, and stacks are filled from their end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Scan {
    pub(crate) body: Arc<Program>,
    pub(crate) length: usize,
    pub(crate) consts: usize,
    pub(crate) carries: usize,
    pub(crate) sums: usize,
    pub(crate) from_end: bool,
}

impl Scan {
    /// Which arguments of the scan and inputs of the body are carries.
    pub(crate) fn carried(&self) -> Range<usize> {
        self.consts..self.consts + self.carries
    }

    /// Which arguments are cut in slices.
    pub(crate) fn sliced(&self) -> Range<usize> {
        self.consts + self.carries..self.body.inputs().len()
    }

    /// Which results are sums over the steps.
    pub(crate) fn summed(&self) -> Range<usize> {
        self.carries..self.carries + self.sums
    }

    /// Which results are stacks.
    pub(crate) fn stacked(&self) -> Range<usize> {
        self.carries + self.sums..self.body.outputs()
    }

    /// The slice that step number `step` works on.
    pub(crate) fn position(&self, step: usize) -> usize {
        if self.from_end {
            self.length - 1 - step
        } else {
            step
        }
    }

    /// The type of an argument, given that of the body's input.
    fn outer(&self, is_sliced: bool, t: &Type) -> Type {
        if is_sliced {
            t.with_leading(self.length)
        } else {
            t.clone()
        }
    }

    /// The equation without the results that nobody needs and the arguments that only these need.
    pub(crate) fn pruned(&self, e: &Equation, needed: impl Fn(Var) -> bool) -> Equation {
        let mut outputs: Vec<bool> = e.results.iter().map(|&v| needed(v)).collect();
        let mut inputs = self.body.needs(&outputs);
        // A carry that a step reads must be made by the step before.
        while let Some(i) = (0..self.carries).find(|&i| inputs[self.consts + i] && !outputs[i]) {
            outputs[i] = true;
            inputs = self.body.needs(&outputs);
        }
        inputs[self.carried()].copy_from_slice(&outputs[..self.carries]);
        if inputs.iter().chain(&outputs).all(|&kept| kept) {
            return e.clone();
        }
        let count = |kept: &[bool]| kept.iter().filter(|&&k| k).count();
        let scan = Self {
            body: Arc::new(self.body.select(&inputs, &outputs)),
            consts: count(&inputs[..self.consts]),
            carries: count(&outputs[..self.carries]),
            sums: count(&outputs[self.summed()]),
            ..*self
        };
        let keep = |vars: &[Var], kept: &[bool]| -> Vars {
            let pairs = vars.iter().zip(kept);
            pairs.filter(|(_, k)| **k).map(|(&v, _)| v).collect()
        };
        Equation {
            op: scan.into(),
            args: keep(&e.args, &inputs),
            results: keep(&e.results, &outputs),
        }
    }
}

impl Primitive for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let inputs = self.body.inputs().len();
        if args.len() != inputs {
            return Err(format!(
                "the body takes {inputs} inputs, not {}",
                args.len()
            ));
        }
        let sliced = self.sliced();
        for (i, &t) in args.iter().enumerate() {
            let expected = self.outer(sliced.contains(&i), self.body.input_type(i));
            if *t != expected {
                return Err(format!("argument {i} is {t}, the body needs {expected}"));
            }
        }
        for i in 0..self.carries {
            let (from, to) = (
                self.body.input_type(self.consts + i),
                self.body.output_type(i),
            );
            if from != to {
                return Err(format!(
                    "the body takes {from} from the step before and gives {to}"
                ));
            }
        }
        let stacked = self.stacked();
        let results = (0..self.body.outputs()).map(|i| match self.body.output_type(i) {
            t if stacked.contains(&i) => t.with_leading(self.length),
            t => t.clone(),
        });
        Ok(results.collect())
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let whole = |i: usize| interpret::copy(args[i].data);
        let consts: Vec<Array<T>> = (0..self.consts).map(whole).collect();
        let mut carries: Vec<Array<T>> = self.carried().map(whole).collect();
        let mut out: Vec<Array<T>> = results[self.carries..].iter().map(Array::zeros).collect();
        for step in 0..self.length {
            let at = self.position(step);
            let slices = self.sliced().map(|i| {
                let n = args[i].data.len() / self.length;
                interpret::slice(args[i].data, at * n..(at + 1) * n)
            });
            let inputs: Vec<Array<T>> = consts
                .iter()
                .cloned()
                .chain(carries)
                .chain(slices)
                .collect();
            let mut outputs = interpret::run(&self.body, inputs)?;
            let rest = outputs.split_off(self.carries);
            carries = outputs;
            for (i, (value, out)) in rest.iter().zip(&mut out).enumerate() {
                if i < self.sums {
                    interpret::accumulate(out, value);
                } else {
                    interpret::store(out, value, at);
                }
            }
        }
        Ok(carries.into_iter().chain(out).collect())
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        rules::jvp(self, site, tangents)
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        rules::transpose(self, site, linear, cotangents)
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        rules::batch(self, site, batched, size)
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        self.body.flops() * self.length as u64
    }
}

/// The order of axes that exchanges the first two.
fn swap_first(g: &mut Graph, v: Var) -> Var {
    let rank = g.shape(v).len();
    let mut axes = with_leading(0, &(1..rank).collect::<Vec<_>>());
    axes.swap(0, 1);
    g.permute(v, &axes)
}
