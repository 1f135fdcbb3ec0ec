//! Recurrent layers: `LSTM`, `GRU` and `RNN`, forward, backward or both.

use super::super::known::Answer;
use super::super::site::Site;
use super::super::value::Value;
use super::activation::softsign;
use super::{Entry, Results, entry};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry(
        "LSTM",
        &[
            "activations",
            "clip",
            "direction",
            "hidden_size",
            "input_forget",
            "layout",
        ],
        |s| layer(s, 4, &["Sigmoid", "Tanh", "Tanh"]),
    ),
    entry(
        "GRU",
        &[
            "activations",
            "clip",
            "direction",
            "hidden_size",
            "layout",
            "linear_before_reset",
        ],
        |s| layer(s, 3, &["Sigmoid", "Tanh"]),
    ),
    entry(
        "RNN",
        &["activations", "clip", "direction", "hidden_size", "layout"],
        |s| layer(s, 1, &["Tanh"]),
    ),
];

type Function = for<'t> fn(Tensor<'t>) -> Tensor<'t>;

fn function(name: &str) -> Answer<Function> {
    Ok(match name {
        "Sigmoid" => |x| x.sigmoid(),
        "Tanh" => |x| x.tanh(),
        "Relu" => |x| x.relu(),
        "Softplus" => |x| x.softplus(),
        "Softsign" => softsign,
        other => return Err(format!("the activation `{other}` is not supported")),
    })
}

/// What one direction of a layer has.
struct Cell<'t> {
    /// `(hidden, gates hidden)`
    recurrent: Tensor<'t>,
    /// Of the recurrent part, `(gates hidden)`.
    bias: Tensor<'t>,
    /// Of an LSTM: what its gates see of its memory, `(3, hidden)`.
    peephole: Option<Tensor<'t>>,
    functions: Vec<Function>,
    clip: Option<f64>,
    /// Of a GRU: whether it is reset after the product.
    resets_late: bool,
    /// Of an LSTM: whether it forgets as much as it takes in.
    couples: bool,
}

impl<'t> Cell<'t> {
    fn act(&self, i: usize, x: Tensor<'t>) -> Tensor<'t> {
        let bound = |c: f64| x.minimum(x.fill_like(c)).maximum(x.fill_like(-c));
        (self.functions[i])(self.clip.map_or(x, bound))
    }

    /// The state after a step; `x` is the input times its weights, with its bias.
    fn step(&self, state: &[Tensor<'t>], x: Tensor<'t>) -> Vec<Tensor<'t>> {
        let h = state[0];
        let hidden = h.dim(-1);
        let gate = |x: Tensor<'t>, i: usize| x.slice(-1, i * hidden..(i + 1) * hidden);
        match state.get(1) {
            Some(&c) => {
                let all = x + h.matmul(self.recurrent) + self.bias;
                let sees = |x: Tensor<'t>, i: usize, c: Tensor<'t>| match self.peephole {
                    Some(p) => x + c * p.slice(0, i..i + 1),
                    None => x,
                };
                let take = self.act(0, sees(gate(all, 0), 0, c));
                let keep = match self.couples {
                    true => 1.0 - take,
                    false => self.act(0, sees(gate(all, 2), 2, c)),
                };
                let memory = keep * c + take * self.act(1, gate(all, 3));
                let give = self.act(0, sees(gate(all, 1), 1, memory));
                vec![give * (self.functions[2])(memory), memory]
            }
            None if self.functions.len() == 2 => {
                let first = self.recurrent.slice(-1, 0..2 * hidden);
                let bias = self.bias.slice(-1, 0..2 * hidden);
                let gates = x.slice(-1, 0..2 * hidden) + h.matmul(first) + bias;
                let (keep, reset) = (self.act(0, gate(gates, 0)), self.act(0, gate(gates, 1)));
                let (last, bias) = (gate(self.recurrent, 2), gate(self.bias, 2));
                let seen = match self.resets_late {
                    true => reset * (h.matmul(last) + bias),
                    false => (reset * h).matmul(last) + bias,
                };
                let new = self.act(1, gate(x, 2) + seen);
                vec![(1.0 - keep) * new + keep * h]
            }
            None => vec![self.act(0, x + h.matmul(self.recurrent) + self.bias)],
        }
    }
}

/// How many directions, and which of them begin at the end.
fn directions(s: &Site<'_, '_>) -> Answer<&'static [bool]> {
    match s.text("direction", "forward")? {
        "forward" => Ok(&[false]),
        "reverse" => Ok(&[true]),
        "bidirectional" => Ok(&[false, true]),
        other => Err(format!("the direction `{other}` is unknown")),
    }
}

/// Functions of each direction.
fn functions(s: &Site<'_, '_>, directions: usize, default: &[&str]) -> Answer<Vec<Vec<Function>>> {
    let named: Vec<&str> = match s.texts("activations")? {
        Some(given) => given.iter().map(String::as_str).collect(),
        None => default.repeat(directions),
    };
    if named.len() != directions * default.len() {
        return Err(format!(
            "{} activations for {directions} directions",
            named.len()
        ));
    }
    let all: Answer<Vec<Function>> = named.into_iter().map(function).collect();
    Ok(all?.chunks(default.len()).map(<[_]>::to_vec).collect())
}

/// Refuses a tensor whose shape is not this one.
fn check(what: &str, x: Tensor<'_>, shape: &[usize]) -> Answer<()> {
    let found = x.shape();
    match found[..] == *shape {
        true => Ok(()),
        false => Err(format!(
            "{what} has the shape {:?}, not {shape:?}",
            &found[..]
        )),
    }
}

/// Sizes of a layer.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    hidden: usize,
    gates: usize,
}

/// Weights of the input `(inputs, gates hidden)`, its bias, and the cell of one direction.
fn cell<'t>(
    s: &Site<'_, 't>,
    direction: usize,
    sizes: Sizes,
    functions: Vec<Function>,
) -> Answer<(Tensor<'t>, Tensor<'t>, Cell<'t>)> {
    let own = |x: Tensor<'t>| {
        let rest = x.shape()[1..].to_vec();
        x.slice(0, direction..direction + 1).reshape(rest)
    };
    let wide = sizes.gates * sizes.hidden;
    let biases = match s.optional_floats(3)? {
        Some(b) => own(b),
        None => s.tracer().fill(0.0, [2 * wide]),
    };
    let peephole = s.optional_floats(7)?;
    let peephole = peephole.map(|p| own(p).reshape([3, sizes.hidden]));
    let clip = s.given_float("clip")?;
    if clip.is_some_and(|c| c < 0.0) {
        return Err("attribute `clip` is negative".to_owned());
    }
    let cell = Cell {
        recurrent: own(s.floats(2)?).transpose(),
        bias: biases.slice(0, wide..2 * wide),
        peephole,
        functions,
        clip,
        resets_late: s.flag("linear_before_reset", false)?,
        couples: s.flag("input_forget", false)?,
    };
    Ok((
        own(s.floats(1)?).transpose(),
        biases.slice(0, 0..wide),
        cell,
    ))
}

/// The initial states of all directions, `(directions, batch, hidden)` each.
fn initial<'t>(
    s: &Site<'_, 't>,
    directions: usize,
    sizes: Sizes,
    states: usize,
) -> Answer<Vec<Tensor<'t>>> {
    let shape = [directions, sizes.batch, sizes.hidden];
    let state = |i: usize| {
        let Some(x) = s.optional_floats(5 + i)? else {
            return Ok(s.tracer().fill(0.0, shape));
        };
        let x = if s.flag("layout", false)? {
            x.permute(&[1, 0, 2])
        } else {
            x
        };
        check("an initial state", x, &shape)?;
        Ok(x)
    };
    (0..states).map(state).collect()
}

/// Refuses weights that do not fit sequences `(steps, batch, inputs)`, and returns the sizes.
fn sizes_of<'t>(s: &Site<'_, 't>, x: Tensor<'t>, gates: usize, directions: usize) -> Answer<Sizes> {
    let (shape, recurrent) = (x.shape(), s.floats(2)?.shape());
    let [steps, batch, inputs] = [shape[0], shape[1], shape[2]];
    let hidden = recurrent.last().copied().unwrap_or(0);
    let wide = gates.checked_mul(hidden).ok_or("the layer is too wide")?;
    check(
        "the weights of the input",
        s.floats(1)?,
        &[directions, wide, inputs],
    )?;
    check(
        "the recurrent weights",
        s.floats(2)?,
        &[directions, wide, hidden],
    )?;
    if let Some(bias) = s.optional_floats(3)? {
        check("the bias", bias, &[directions, 2 * wide])?;
    }
    if let Some(peephole) = s.optional_floats(7)? {
        check("the peephole", peephole, &[directions, 3 * hidden])?;
    }
    if s.given_int("hidden_size")?
        .is_some_and(|n| n != hidden as i64)
    {
        return Err(format!("`hidden_size` is not {hidden}, as the weights say"));
    }
    Ok(Sizes {
        steps,
        batch,
        hidden,
        gates,
    })
}

/// 1 for each step `(steps, batch, 1)` that lies in its sequence, else 0; none if all sequences have all steps.
fn inside<'t>(s: &Site<'_, 't>, sizes: Sizes) -> Answer<Option<Tensor<'t>>> {
    let Some(lengths) = s.optional(4) else {
        return Ok(None);
    };
    let Sizes { steps, batch, .. } = sizes;
    if let Value::Known(k) = lengths {
        let given = k.to_integers()?;
        let fits = |&n: &i64| (0..=steps as i64).contains(&n);
        if given.len() != batch || !given.iter().all(fits) {
            return Err(format!(
                "{given:?} are no lengths of {batch} sequences of {steps} steps"
            ));
        }
        if given.iter().all(|&n| n == steps as i64) {
            return Ok(None);
        }
    }
    let (t, lengths) = (s.tracer(), lengths.real(s.tracer()));
    check("the lengths", lengths, &[batch])?;
    let step = t.iota([steps]).to_float().reshape([steps, 1]);
    let step = step.broadcast_to([steps, batch]);
    Ok(Some(step.less(lengths).expand(-1)))
}

/// All hidden states `(steps, batch, hidden)` of one direction, and the last states. Behind its end a sequence keeps its state, and
/// shows 0.
fn direction<'t>(
    s: &Site<'_, 't>,
    (weights, bias, cell): (Tensor<'t>, Tensor<'t>, Cell<'t>),
    (x, inside): (Tensor<'t>, Option<Tensor<'t>>),
    starts: &[Tensor<'t>],
    from_end: bool,
) -> (Tensor<'t>, Vec<Tensor<'t>>) {
    let turned = |x: Tensor<'t>| if from_end { x.reverse(&[0]) } else { x };
    let seen = turned(x.matmul(weights) + bias);
    let slices: Vec<Tensor<'t>> = std::iter::once(seen).chain(inside.map(turned)).collect();
    let (last, all) = s.tracer().scan(starts, &slices, |state, slices| {
        let mut next = cell.step(state, slices[0]);
        let mut hidden = next[0];
        if let Some(&inside) = slices.get(1) {
            hidden = inside.select(hidden, hidden.fill_like(0.0));
            let kept = next.iter().zip(state);
            next = kept.map(|(&n, &before)| inside.select(n, before)).collect();
        }
        (next, vec![hidden])
    });
    (turned(all[0]), last)
}

/// A layer of `gates` gates and the functions `default`. Its outputs are all hidden states, and the last states.
fn layer<'t>(s: &Site<'_, 't>, gates: usize, default: &[&str]) -> Results<'t> {
    let states = if gates == 4 { 2 } else { 1 };
    let directions = directions(s)?;
    let batch_first = s.flag("layout", false)?;
    // The order of the axes of the format, and back.
    let ordered = |x: Tensor<'t>, axes: &[isize]| if batch_first { x.permute(axes) } else { x };
    let x = s.floats(0)?;
    if x.shape().len() != 3 {
        return Err(format!(
            "takes sequences (steps, batch, inputs), not {:?}",
            &x.shape()[..]
        ));
    }
    let x = ordered(x, &[1, 0, 2]);
    let sizes = sizes_of(s, x, gates, directions.len())?;
    let inside = inside(s, sizes)?;
    let functions = functions(s, directions.len(), default)?;
    let starts = initial(s, directions.len(), sizes, states)?;
    let Sizes { batch, hidden, .. } = sizes;
    let mut outputs = Vec::new();
    let mut ends = vec![Vec::new(); states];
    for (d, (&from_end, functions)) in directions.iter().zip(functions).enumerate() {
        let own = |h: &Tensor<'t>| h.slice(0, d..d + 1).reshape([batch, hidden]);
        let starts: Vec<Tensor<'t>> = starts.iter().map(own).collect();
        let (all, last) = direction(
            s,
            cell(s, d, sizes, functions)?,
            (x, inside),
            &starts,
            from_end,
        );
        outputs.push(all.expand(1));
        for (end, last) in ends.iter_mut().zip(last) {
            end.push(last.expand(0));
        }
    }
    let joined = |parts: &[Tensor<'t>], axis: isize| parts[0].concat(&parts[1..], axis);
    let y = ordered(joined(&outputs, 1), &[2, 0, 1, 3]);
    let ends = ends
        .iter()
        .map(|parts| ordered(joined(parts, 0), &[1, 0, 2]));
    Ok(std::iter::once(y).chain(ends).map(Value::from).collect())
}
