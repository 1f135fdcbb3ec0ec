//! Networks at a point: their loss, and derivatives checked against each other.

#![allow(dead_code)]

use quadric_autodiff::{Array, Data, Executable, Kind, Program, Tensor, Tracer, Type};
use quadric_nn::{Call, Loss, Mode, Network};

/// Distinct numbers between -1 and 1.
pub(crate) fn waves(n: usize, phase: f64) -> Vec<f64> {
    (0..n)
        .map(|i| (phase + 1.7 * i as f64 + 0.01 * (i * i) as f64).sin())
        .collect()
}

/// Inputs, targets and a key, for a batch.
pub(crate) struct Case {
    pub(crate) network: Network,
    pub(crate) loss: Loss,
    pub(crate) mode: Mode,
    pub(crate) examples: usize,
    pub(crate) inputs: Vec<Array<f64>>,
    pub(crate) targets: Array<f64>,
    pub(crate) key: [i32; 2],
}

/// The type of the first output of a network for a batch.
pub(crate) fn output_type(network: &Network, examples: usize) -> Type {
    let program = network.program(examples, Mode::Evaluate);
    program.expect("shapes fit").output_type(0).clone()
}

impl Case {
    /// Inputs that are waves, or indices below 3; targets likewise.
    pub(crate) fn new(network: Network, loss: Loss, mode: Mode, examples: usize) -> Self {
        let of_type = |t: &Type, phase: f64| match t.kind {
            Kind::Float => Array::Float(waves(t.len(), phase)),
            Kind::Index => Array::Index((0..t.len()).map(|i| (i * i % 3) as i32).collect()),
        };
        let ports = network.inputs().iter().enumerate();
        let inputs = ports
            .map(|(i, p)| of_type(&p.of_batch(examples), 0.3 + i as f64))
            .collect();
        let output = output_type(&network, examples);
        let target = loss.target(&output.shape[1..]).expect("an output");
        let mut targets = of_type(&target.of_batch(examples), 2.1);
        if let (Loss::Bernoulli, Array::Float(y)) = (loss, &mut targets) {
            y.iter_mut().for_each(|y| *y = y.abs());
        }
        Self {
            network,
            loss,
            mode,
            examples,
            inputs,
            targets,
            key: [3, 1],
        }
    }

    /// Parameters other than those to start from, so that none is at a special place.
    pub(crate) fn parameters(&self) -> Vec<f64> {
        let start: Vec<f64> = self.network.initial(7);
        let moved = waves(start.len(), 0.9);
        start.iter().zip(moved).map(|(p, m)| p + 0.2 * m).collect()
    }

    /// Output and mean loss at some parameters, all else constant.
    pub(crate) fn at<'t>(&self, t: &'t Tracer, parameters: Tensor<'t>) -> (Tensor<'t>, Tensor<'t>) {
        let constant = |values: &Array<f64>, of: Type| match values {
            Array::Float(v) => t.constant(v, of.shape),
            Array::Index(v) => t.index_constant(v, of.shape),
        };
        let ports = self.network.inputs().iter().zip(&self.inputs);
        let inputs: Vec<Tensor<'_>> = ports
            .map(|(p, v)| constant(v, p.of_batch(self.examples)))
            .collect();
        let buffers: Vec<f64> = self.network.initial_buffers();
        let call = Call {
            parameters,
            buffers: t.constant(&buffers, [buffers.len()]),
            inputs: &inputs,
            mode: self.mode,
            key: Some(t.index_constant(&self.key, [2])),
        };
        let output = self.network.trace(t, call).outputs[0];
        let port = self.loss.target(&output.shape()[1..]).expect("an output");
        let targets = constant(&self.targets, port.of_batch(self.examples));
        (output, self.loss.apply(output, targets).mean())
    }

    /// A program of the parameters `w` from output and loss.
    fn program<F>(&self, f: F) -> Program
    where
        F: for<'t> FnOnce(&'t Tracer, Tensor<'t>, (Tensor<'t>, Tensor<'t>)) -> Vec<Tensor<'t>>,
    {
        let program = Program::trace(|t| {
            let w = t.input("w", [self.network.layout().len()]);
            f(t, w, self.at(t, w))
        });
        program.unwrap_or_else(|e| panic!("{e}"))
    }

    pub(crate) fn loss(&self) -> Program {
        self.program(|_, _, (_, loss)| vec![loss])
    }

    pub(crate) fn output_program(&self) -> Program {
        self.program(|_, _, (output, _)| vec![output])
    }

    pub(crate) fn output(&self, w: &[f64]) -> Vec<f64> {
        run(&self.output_program(), &[w])
    }

    pub(crate) fn gradient(&self) -> Program {
        self.loss().grad(&["w"]).expect("a number")
    }

    /// The Hessian of the mean loss, row-major.
    pub(crate) fn hessian(&self, w: &[f64]) -> Vec<f64> {
        columns(&self.gradient().linearize(&["w"]).expect("an input"), w)
    }

    /// The matrix Jᵀ Λ J of the mean loss, row-major.
    pub(crate) fn gauss_newton(&self, w: &[f64]) -> Vec<f64> {
        let program = self.program(|t, w, (output, loss)| {
            let v = t.direction("v", w.shape());
            let moved = t.jvp(&[output], &[w], &[v]);
            let curved = t.jvp(&t.grad(loss, &[output]), &[output], &moved);
            t.vjp(&[output], &[w], &curved)
        });
        columns(&program, w)
    }

    /// Gradient against differences of the loss, Hessian against differences of the gradient and against its transpose.
    pub(crate) fn check(&self, name: &str) {
        let w = self.parameters();
        let (loss, gradient) = (self.loss(), self.gradient());
        let found = run(&gradient, &[&w]);
        let expected = difference(&w, |w| run(&loss, &[w]));
        close(&format!("{name}: gradient"), &found, &expected, 1e-7);
        assert!(found.iter().any(|g| g.abs() > 1e-4), "{name}: no gradient");
        let (p, found) = (w.len(), self.hessian(&w));
        let expected = difference(&w, |w| run(&gradient, &[w]));
        close(&format!("{name}: Hessian"), &found, &expected, 1e-6);
        let turned: Vec<f64> = (0..p * p).map(|i| found[i % p * p + i / p]).collect();
        close(&format!("{name}: symmetry"), &found, &turned, 1e-11);
    }
}

/// The only output of a program.
pub(crate) fn run(program: &Program, inputs: &[&[f64]]) -> Vec<f64> {
    let inputs: Vec<Data<'_, f64>> = inputs.iter().map(|v| Data::Float(v)).collect();
    let mut out = vec![f64::NAN; program.output_type(0).len()];
    let mut compiled = Executable::new(program).expect("a real output");
    compiled.run(&inputs, &mut [&mut out]).expect("inputs fit");
    out
}

/// The matrix of a program that is linear in its last input, a direction: one column after another.
pub(crate) fn columns(program: &Program, w: &[f64]) -> Vec<f64> {
    let mut compiled = Executable::new(program).expect("a real output");
    let mut prepared = compiled.prepare(&[Data::Float(w)]).expect("a point");
    let mut matrix = Vec::with_capacity(w.len() * w.len());
    for i in 0..w.len() {
        let mut unit = vec![0.0; w.len()];
        unit[i] = 1.0;
        let mut out = vec![f64::NAN; program.output_type(0).len()];
        let applied = prepared.apply(&[Data::Float(&unit)], &mut [&mut out]);
        applied.expect("a direction");
        matrix.extend(out);
    }
    matrix
}

/// Central differences: one row for each parameter.
fn difference(w: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-5;
    let rows = (0..w.len()).map(|i| {
        let at = |step: f64| {
            let mut w = w.to_vec();
            w[i] += step;
            f(&w)
        };
        let (above, below) = (at(h), at(-h));
        let pairs = above.into_iter().zip(below);
        pairs.map(|(a, b)| (a - b) / (2.0 * h)).collect::<Vec<_>>()
    });
    rows.collect::<Vec<_>>().concat()
}

/// Entries that differ by at most the tolerance, relative to the largest.
#[track_caller]
pub(crate) fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs();
        assert!(
            error <= tolerance * most.max(1e-3),
            "{what}: entry {i} is {a}, expected {b} (largest {most})"
        );
    }
}
