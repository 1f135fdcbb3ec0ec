//! Recurrent layers over sequences `(n, steps, features)`, from a state of zeros.
//!
//! Gates and their order are PyTorch's. Weights and biases start uniform within `±1 / sqrt(hidden)`, as there. PyTorch adds two
//! biases to a gate, of which only the sum matters; here there is one.

use super::Activation;
use crate::{Init, Scope, Weighted};
use quadric_autodiff::Tensor;
use quadric_core::Role;

/// What a recurrent layer returns.
#[derive(Clone, Copy)]
pub struct Recurrent<'t> {
    /// The state after each step `(n, steps, hidden)`.
    pub states: Tensor<'t>,
    /// The state after the last step `(n, hidden)`.
    pub last: Tensor<'t>,
}

/// `h ← f(x W + h U + b)` (Elman 1990), usually with the hyperbolic tangent.
///
/// Parameters: `input.weight` W (features, hidden), `hidden.weight` U (hidden, hidden), `bias` b (hidden).
#[track_caller]
pub fn rnn<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    hidden: usize,
    activation: Activation,
) -> Recurrent<'t> {
    let gates = Gates::new(scope.within(name), x, hidden, 1);
    gates.scan(&[gates.start], |inputs, own, _| {
        vec![activation.apply(inputs + own)]
    })
}

/// A gated recurrent unit (Cho et al. 2014), with the gates reset r, update z and candidate n, the reset gate applied after the
/// product with the state: `n = tanh(x Wₙ + bₙ + r (h Uₙ + c))`, `h ← (1 - z) n + z h`.
///
/// Parameters: `input.weight` W (features, 3 hidden), `hidden.weight` U (hidden, 3 hidden), `bias` b (3 hidden),
/// `candidate.bias` c (hidden).
#[track_caller]
pub fn gru<'t>(scope: &Scope<'t>, name: &str, x: Tensor<'t>, hidden: usize) -> Recurrent<'t> {
    let scope = scope.within(name);
    let gates = Gates::new(scope, x, hidden, 3);
    let init = Init::fan_in_uniform(hidden);
    let bias = gates
        .scope
        .parameter("candidate.bias", &[hidden], Role::Bias, init);
    gates.scan(&[gates.start], |inputs, own, state| {
        let part = |x: Tensor<'t>, i: usize| x.slice(1, i * hidden..(i + 1) * hidden);
        let both = |i: usize| (part(inputs, i) + part(own, i)).sigmoid();
        let (reset, update) = (both(0), both(1));
        let candidate = (part(inputs, 2) + reset * (part(own, 2) + bias)).tanh();
        vec![candidate + update * (state[0] - candidate)]
    })
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997; forget gates of Gers et al. 2000), with the gates input i, forget f,
/// cell g and output o: `c ← σ(f) c + σ(i) tanh(g)`, `h ← σ(o) tanh(c)`.
///
/// Parameters: `input.weight` (features, 4 hidden), `hidden.weight` (hidden, 4 hidden), `bias` (4 hidden).
#[track_caller]
pub fn lstm<'t>(scope: &Scope<'t>, name: &str, x: Tensor<'t>, hidden: usize) -> Recurrent<'t> {
    let gates = Gates::new(scope.within(name), x, hidden, 4);
    gates.scan(&[gates.start, gates.start], |inputs, own, state| {
        let z = inputs + own;
        let part = |i: usize| z.slice(1, i * hidden..(i + 1) * hidden);
        let cell = part(1).sigmoid() * state[1] + part(0).sigmoid() * part(2).tanh();
        vec![part(3).sigmoid() * cell.tanh(), cell]
    })
}

/// What all gates of a layer have in common.
struct Gates<'t> {
    scope: Scope<'t>,
    /// `x W + b` `(steps, n, gates hidden)`.
    inputs: Tensor<'t>,
    /// `(hidden, gates hidden)`.
    weight: Tensor<'t>,
    /// Zeros `(n, hidden)`.
    start: Tensor<'t>,
}

impl<'t> Gates<'t> {
    #[track_caller]
    fn new(scope: Scope<'t>, x: Tensor<'t>, hidden: usize, gates: usize) -> Self {
        let (t, shape) = (scope.tracer(), x.shape());
        if shape.len() != 3 || shape[1] == 0 {
            let message = format!(
                "takes (n, steps, features) with a step, not {:?}",
                &shape[..]
            );
            t.fail("recurrent layer", &message);
        }
        let width = hidden.saturating_mul(gates);
        let init = Init::fan_in_uniform(hidden);
        let w = scope.parameter(
            "input.weight",
            &[shape[2], width],
            Role::Weight,
            init.clone(),
        );
        let weight = scope.parameter(
            "hidden.weight",
            &[hidden, width],
            Role::Weight,
            init.clone(),
        );
        let bias = scope.parameter("bias", &[width], Role::Bias, init);
        let steps = x.permute(&[1, 0, 2]);
        let layer = Weighted {
            weight: "input.weight",
            transposed: false,
            bias: Some("bias"),
        };
        let product = scope.tap(layer, || steps, steps.matmul(w));
        Self {
            inputs: product + bias,
            weight,
            start: t.fill(0.0, [shape[0], hidden]),
            scope,
        }
    }

    /// Steps from some states; the first of them is what the layer shows, and what is multiplied with the weights. A step
    /// gets its inputs, that product, and the states.
    #[track_caller]
    fn scan(
        &self,
        start: &[Tensor<'t>],
        step: impl FnOnce(Tensor<'t>, Tensor<'t>, &[Tensor<'t>]) -> Vec<Tensor<'t>>,
    ) -> Recurrent<'t> {
        let t = self.inputs.tracer();
        let probe = self.scope.probe(self.inputs.shape());
        let slices: Vec<Tensor<'t>> = [self.inputs].into_iter().chain(probe).collect();
        let (last, stacks) = t.scan(start, &slices, |state, slices| {
            let own = state[0].matmul(self.weight);
            let own = slices.get(1).map_or(own, |&probe| own + probe);
            let next = step(slices[0], own, state);
            let shown = next[0];
            (next, vec![shown])
        });
        let states = stacks[0];
        if let Some(probe) = probe {
            let layer = Weighted {
                weight: "hidden.weight",
                transposed: false,
                bias: None,
            };
            let before = states.slice(0, 0..states.dim(0) - 1);
            let before = start[0].expand(0).concat(&[before], 0);
            self.scope.record(layer, before, probe);
        }
        Recurrent {
            states: states.permute(&[1, 0, 2]),
            last: last[0],
        }
    }
}
