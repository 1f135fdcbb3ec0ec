//! The transforms as users see them: from one program to another.

use crate::array::{Array, Data};
use crate::graph::{Graph, Vars};
use crate::interpret;
use crate::program::{Input, Program};
use crate::types::{Kind, Var};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

mod chunks;

/// A program opened for a transform.
struct Opened {
    graph: Graph,
    inputs: Vec<Input>,
    outputs: Vars,
    /// The inputs that it is about.
    wrt: Vars,
}

const BATCH: &str = "batch";

impl Program {
    fn open(&self, what: &str, names: &[&str]) -> Result<Opened> {
        let (graph, inputs, outputs) = self.to_graph();
        let find = |name: &&str| {
            let input = inputs.iter().find(|i| i.name == **name);
            let known = || {
                let names: Vec<&str> = inputs.iter().map(|i| &i.name[..]).collect();
                Error::argument(
                    what,
                    name,
                    &format!("an input of the program: {}", names.join(", ")),
                )
            };
            let var = input.ok_or_else(known)?.var;
            // Derivatives are by real numbers only; a batch may be one of indices.
            if what != BATCH && !graph.is_float(var) {
                return Err(Error::argument(
                    what,
                    name,
                    "an input of real numbers, not of indices",
                ));
            }
            Ok(var)
        };
        let wrt = names.iter().map(find).collect::<Result<Vars>>()?;
        Ok(Opened {
            graph,
            inputs,
            outputs,
            wrt,
        })
    }

    /// The program whose outputs are the tangents of the outputs, for directions `d name` (`d name'` if that is taken) that are
    /// further inputs: the product of the Jacobian with the directions. What does not depend on them is prepared once, if the program is compiled.
    ///
    /// # Errors
    ///
    /// If a name is no input of real numbers.
    pub fn linearize(&self, wrt: &[&str]) -> Result<Self> {
        let mut o = self.open("linearize", wrt)?;
        let tangents = o.directions(wrt, |o, i| o.wrt[i]);
        let pairs: Vec<(Var, Var)> = o.wrt.iter().copied().zip(tangents).collect();
        let results = super::jvp(&mut o.graph, &o.outputs, &pairs);
        let results = results.into_iter().zip(o.outputs.clone());
        let results: Vars = results.map(|(r, like)| o.graph.or_zeros(r, like)).collect();
        Ok(Self::extract(&o.graph, &o.inputs, &results))
    }

    /// The program whose outputs are the gradients of the only output, a single number, with respect to some inputs.
    ///
    /// # Errors
    ///
    /// If a name is no input of real numbers, or the output is no single number.
    pub fn grad(&self, wrt: &[&str]) -> Result<Self> {
        let mut o = self.open("grad", wrt)?;
        let gradients = o.gradients(self)?;
        Ok(Self::extract(&o.graph, &o.inputs, &gradients))
    }

    /// As [`grad`](Self::grad), with the value as the first output.
    ///
    /// # Errors
    ///
    /// As [`grad`](Self::grad).
    pub fn value_and_grad(&self, wrt: &[&str]) -> Result<Self> {
        let mut o = self.open("value_and_grad", wrt)?;
        let mut results = o.outputs.clone();
        results.extend(o.gradients(self)?);
        Ok(Self::extract(&o.graph, &o.inputs, &results))
    }

    /// The program whose outputs are the products of the transposed Jacobian with cotangents, further inputs `d output 0`,
    /// `d output 1`, ...: one for each name.
    ///
    /// # Errors
    ///
    /// If a name is no input of real numbers.
    pub fn vjp(&self, wrt: &[&str]) -> Result<Self> {
        let mut o = self.open("vjp", wrt)?;
        let names: Vec<String> = (0..self.outputs()).map(|i| format!("output {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cotangents = o.directions(&names, |o, i| o.outputs[i]);
        let (outputs, wrt) = (o.outputs.clone(), o.wrt.clone());
        let results = super::vjp(&mut o.graph, &outputs, &wrt, &cotangents);
        Ok(Self::extract(&o.graph, &o.inputs, &results))
    }

    /// The program for `size` values of some inputs at once: these, and all outputs, get one more axis of this length in front.
    /// Where one value makes more than fits in a cache, some go through all of it before the next ones.
    ///
    /// # Errors
    ///
    /// If a name is no input.
    pub fn batch(&self, names: &[&str], size: usize) -> Result<Self> {
        self.batch_by(names, size, chunks::size(self, names, size))
    }

    /// As [`batch`](Self::batch), `chunk` values at a time.
    fn batch_by(&self, names: &[&str], size: usize, chunk: usize) -> Result<Self> {
        let mut o = self.open(BATCH, names)?;
        let (pairs, results) = match chunk {
            1 if size > 1 => o.singles(),
            _ => o.batched(chunk),
        };
        if chunk < size {
            return Ok(chunks::chunked(&o, &pairs, &results, (size, chunk)));
        }
        for input in &mut o.inputs {
            if let Some(pair) = pairs.iter().find(|p| p.0 == input.var) {
                input.var = pair.1;
            }
        }
        let results = results.into_iter().zip(o.outputs.clone());
        let results: Vars = results
            .map(|(r, single)| r.unwrap_or_else(|| o.graph.repeat(single, size)))
            .collect();
        Ok(Self::extract(&o.graph, &o.inputs, &results))
    }

    /// The outputs, computed equation by equation as plainly as possible: for tests and small programs.
    ///
    /// # Errors
    ///
    /// If the inputs do not have the kinds and shapes of [`inputs`](Self::inputs), or an index names no row.
    pub fn run<T: Scalar>(&self, inputs: &[Data<'_, T>]) -> Result<Vec<Array<T>>> {
        if inputs.len() != self.inputs.len() {
            let (found, expected) = (inputs.len(), self.inputs.len());
            return Err(Error::shape("the list of inputs", found, expected));
        }
        for (i, (data, input)) in inputs.iter().zip(&self.inputs).enumerate() {
            data.check(&input.name, self.input_type(i))?;
        }
        let values = inputs.iter().map(|d| interpret::copy(*d)).collect();
        interpret::run(self, values)
    }
}

impl Opened {
    /// The inputs that it is about with one more axis, and the outputs for them; none where these do not depend on them.
    fn batched(&mut self, size: usize) -> (Vec<(Var, Var)>, Vec<Option<Var>>) {
        let mut pairs = Vec::new();
        for &v in &self.wrt {
            let t = self.graph.type_of(v).with_leading(size);
            pairs.push((v, self.graph.input(t)));
        }
        let results = super::batch(&mut self.graph, &self.outputs, &pairs, size);
        (pairs, results)
    }

    /// As [`batched`](Self::batched), without the axis.
    fn singles(&self) -> (Vec<(Var, Var)>, Vec<Option<Var>>) {
        let depends = self.graph.dependents(self.wrt.iter().copied());
        let results = self
            .outputs
            .iter()
            .map(|&v| depends[v.index()].then_some(v));
        let pairs = self.wrt.iter().map(|&v| (v, v));
        (pairs.collect(), results.collect())
    }

    /// Further inputs, of the types of other values.
    fn directions(&mut self, names: &[&str], like: impl Fn(&Self, usize) -> Var) -> Vars {
        let mut vars = Vars::new();
        for (i, name) in names.iter().enumerate() {
            let t = self.graph.type_of(like(self, i)).clone();
            let var = self.graph.input(t);
            let mut name = format!("d {name}");
            while self.inputs.iter().any(|i| i.name == name) {
                name.push('\'');
            }
            self.inputs.push(Input {
                var,
                name,
                direction: true,
            });
            vars.push(var);
        }
        vars
    }

    fn gradients(&mut self, program: &Program) -> Result<Vars> {
        let shapes: Vec<_> = (0..program.outputs())
            .map(|i| program.output_type(i))
            .collect();
        if !matches!(shapes[..], [t] if t.shape.is_empty() && t.kind == Kind::Float) {
            let found: Vec<String> = shapes.iter().map(ToString::to_string).collect();
            let message = format!(
                "only a single real number has a gradient, the outputs are {}",
                found.join(", ")
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let one = self.graph.fill(1.0, &[]);
        let (outputs, wrt) = (self.outputs.clone(), self.wrt.clone());
        Ok(super::vjp(&mut self.graph, &outputs, &wrt, &[one]))
    }
}
