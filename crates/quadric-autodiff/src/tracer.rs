//! Tracing: ordinary Rust that computes with [`Tensor`]s is recorded as a [`Program`].

use crate::graph::{Graph, Vars};
use crate::ops::{Constant, Op, Primitive, Random, Scan};
use crate::program::{Input, Program};
use crate::tensor::Tensor;
use crate::transform;
use crate::types::{Shape, Type, Var};
use quadric_linalg::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Records what is computed with the tensors that it hands out.
pub struct Tracer {
    levels: RefCell<Levels>,
    /// Calls of [`Tracer::random`] so far.
    streams: Cell<u32>,
}

/// The program that is traced and, innermost last, the bodies of the scans that are being traced in it.
struct Levels {
    open: Vec<Level>,
    /// Number of levels opened so far.
    opened: u32,
}

struct Level {
    number: u32,
    graph: Graph,
    inputs: Vec<Input>,
    /// Values of the level around this one, and the inputs that stand for them.
    captured: Vec<(Var, Var)>,
}

/// What ends a trace early: carried up to [`Program::trace`] by unwinding.
struct Failure(Error);

impl Levels {
    fn open(&mut self) -> usize {
        let number = self.opened;
        self.opened += 1;
        self.open.push(Level {
            number,
            graph: Graph::default(),
            inputs: Vec::new(),
            captured: Vec::new(),
        });
        self.open.len() - 1
    }

    /// The value for use at depth `to`.
    fn lift(&mut self, v: Var, from: usize, to: usize) -> Var {
        if from == to {
            return v;
        }
        let v = self.lift(v, from, to - 1);
        if let Some(known) = self.open[to].captured.iter().find(|c| c.0 == v) {
            return known.1;
        }
        let t = self.open[to - 1].graph.type_of(v).clone();
        let inner = self.open[to].graph.input(t);
        self.open[to].captured.push((v, inner));
        inner
    }
}

impl Program {
    /// Records what `f` computes; the tensors that it returns become the outputs.
    ///
    /// # Errors
    ///
    /// If shapes do not fit, with the operation and the place in the source where it was called.
    ///
    /// ```
    /// use quadric_autodiff::Program;
    ///
    /// let program = Program::trace(|t| {
    ///     let x = t.input("x", [3]);
    ///     vec![(x * x).sum_all()]
    /// })?;
    /// let outputs = program.run(&[(&[1.0_f64, 2.0, 3.0][..]).into()])?;
    /// assert_eq!(outputs[0].floats(), [14.0]);
    /// # Ok::<(), quadric_linalg::Error>(())
    /// ```
    pub fn trace<F>(f: F) -> Result<Self>
    where
        F: for<'t> FnOnce(&'t Tracer) -> Vec<Tensor<'t>>,
    {
        let tracer = Tracer {
            levels: RefCell::new(Levels {
                open: Vec::new(),
                opened: 0,
            }),
            streams: Cell::new(0),
        };
        tracer.levels.borrow_mut().open();
        let traced = catch_unwind(AssertUnwindSafe(|| {
            let outputs = f(&tracer);
            outputs
                .iter()
                .map(|t| tracer.lifted(*t, 0, Location::caller()))
                .collect::<Vars>()
        }));
        match traced {
            Ok(outputs) => {
                let levels = tracer.levels.borrow();
                Ok(Self::extract(
                    &levels.open[0].graph,
                    &levels.open[0].inputs,
                    &outputs,
                ))
            }
            Err(payload) => match payload.downcast::<Failure>() {
                Ok(failure) => Err(failure.0),
                Err(other) => resume_unwind(other),
            },
        }
    }
}

/// Ends the trace with an error. Nothing is printed: [`Program::trace`] returns it.
pub(crate) fn fail(what: &str, message: &str, at: &Location<'_>) -> ! {
    let text = format!(
        "{what}: {message}, at {}:{}:{}",
        at.file(),
        at.line(),
        at.column()
    );
    if cfg!(panic = "abort") {
        panic!("{text}");
    }
    resume_unwind(Box::new(Failure(Error::new(ErrorKind::Shape, text))))
}

impl Tracer {
    /// Ends the trace: [`Program::trace`] returns an error with the operation `what`, the message and the place of the call.
    #[track_caller]
    pub fn fail(&self, what: &str, message: &str) -> ! {
        fail(what, message, Location::caller())
    }

    /// An input of real numbers. Names are for messages and for choosing what to differentiate by; they should differ.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        self.named(name, Type::float(shape), false)
    }

    /// An input of real numbers that is a direction ([`Input::is_direction`]): what does not depend on directions is computed
    /// once for a point ([`Executable::prepare`](crate::Executable::prepare)).
    #[track_caller]
    pub fn direction(&self, name: &str, shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        self.named(name, Type::float(shape), true)
    }

    /// An input of indices.
    #[track_caller]
    pub fn index_input(&self, name: &str, shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        self.named(name, Type::index(shape), false)
    }

    #[track_caller]
    fn named(&self, name: &str, t: Type, direction: bool) -> Tensor<'_> {
        if let Err(message) = t.check_size() {
            fail("input", &message, Location::caller());
        }
        let mut levels = self.levels.borrow_mut();
        let outermost = &mut levels.open[0];
        let var = outermost.graph.input(t);
        outermost.inputs.push(Input {
            var,
            name: name.to_owned(),
            direction,
        });
        self.tensor(outermost.number, var)
    }

    /// A tensor of one value.
    #[track_caller]
    pub fn fill(&self, value: f64, shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        let shape: Shape = shape.into_iter().collect();
        self.emit(Constant::fill(value, &shape), &[])
    }

    /// A tensor of given real numbers, in row-major order.
    #[track_caller]
    pub fn constant(&self, values: &[f64], shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        let bits: Arc<[u64]> = values.iter().map(|v| v.to_bits()).collect();
        let shape = shape.into_iter().collect();
        self.emit(Constant::Floats { bits, shape }, &[])
    }

    /// A tensor of given indices, in row-major order.
    #[track_caller]
    pub fn index_constant(
        &self,
        values: &[i32],
        shape: impl IntoIterator<Item = usize>,
    ) -> Tensor<'_> {
        let shape = shape.into_iter().collect();
        let values = values.into();
        self.emit(Constant::Indices { values, shape }, &[])
    }

    /// Indices that are the position along the last axis.
    #[track_caller]
    pub fn iota(&self, shape: impl IntoIterator<Item = usize>) -> Tensor<'_> {
        let shape = shape.into_iter().collect();
        self.emit(Constant::Iota { shape }, &[])
    }

    /// Numbers that are uniform in [0, 1), multiples of 2⁻²⁴: the same in both precisions, by any number of threads, and in every
    /// derivative. They depend on the key, two indices such as a seed and the number of a step, and on how many calls came
    /// before in the trace; so two calls with one key differ. Keys `(.., 2)` give `(.., shape..)`: a draw for each.
    ///
    /// In the body of a scan, a key from outside gives the same numbers in every step; for others in every step, draw
    /// `[steps, ..]` outside, or scan over keys `[steps, 2]`.
    #[track_caller]
    pub fn random<'t>(
        &'t self,
        key: Tensor<'t>,
        shape: impl IntoIterator<Item = usize>,
    ) -> Tensor<'t> {
        let (stream, shape) = (self.streams.get(), shape.into_iter().collect());
        self.streams.set(stream + 1);
        self.emit(Random { stream, shape }, &[key])
    }

    fn tensor(&self, level: u32, var: Var) -> Tensor<'_> {
        Tensor {
            tracer: self,
            level,
            var,
        }
    }

    pub(crate) fn type_of(&self, t: Tensor<'_>, at: &Location<'_>) -> Type {
        let depth = self.depth(t, at);
        self.levels.borrow().open[depth]
            .graph
            .type_of(t.var)
            .clone()
    }

    /// How deep a tensor lives.
    fn depth(&self, t: Tensor<'_>, at: &Location<'_>) -> usize {
        if !std::ptr::eq(self, t.tracer) {
            fail("tensor", "it belongs to another trace", at);
        }
        let found = self
            .levels
            .borrow()
            .open
            .iter()
            .position(|l| l.number == t.level);
        found.unwrap_or_else(|| {
            fail(
                "tensor",
                "it belongs to the body of a scan that has ended",
                at,
            )
        })
    }

    fn lifted(&self, t: Tensor<'_>, to: usize, at: &Location<'_>) -> Var {
        let from = self.depth(t, at);
        self.levels.borrow_mut().lift(t.var, from, to)
    }

    /// The depth of the innermost of some tensors, and all of them there.
    fn together(&self, tensors: &[Tensor<'_>], at: &Location<'_>) -> (usize, Vars) {
        let depth = tensors
            .iter()
            .map(|t| self.depth(*t, at))
            .max()
            .unwrap_or(0);
        let vars = tensors.iter().map(|t| self.lifted(*t, depth, at)).collect();
        (depth, vars)
    }

    fn all(&self, depth: usize, vars: impl IntoIterator<Item = Var>) -> Vec<Tensor<'_>> {
        let level = self.levels.borrow().open[depth].number;
        vars.into_iter().map(|v| self.tensor(level, v)).collect()
    }

    /// Records an operation, as deep as the innermost of its arguments.
    #[track_caller]
    pub(crate) fn emit<'t>(&'t self, op: impl Into<Op>, args: &[Tensor<'t>]) -> Tensor<'t> {
        self.emit_all(op.into(), args, Location::caller())[0]
    }

    fn emit_all<'t>(&'t self, op: Op, args: &[Tensor<'t>], at: &Location<'_>) -> Vec<Tensor<'t>> {
        let name = op.name();
        let (depth, vars) = self.together(args, at);
        let results = self.levels.borrow_mut().open[depth]
            .graph
            .try_emit(op, &vars);
        match results {
            Ok(results) => self.all(depth, results),
            Err(message) => fail(name, &message, at),
        }
    }

    /// The gradients of a single number with respect to some tensors.
    #[track_caller]
    pub fn grad<'t>(&'t self, value: Tensor<'t>, wrt: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
        let at = Location::caller();
        let shape = self.type_of(value, at).shape;
        if !shape.is_empty() {
            fail(
                "grad",
                &format!(
                    "the value is no single number, its shape is {:?}",
                    &shape[..]
                ),
                at,
            );
        }
        self.vjp(&[value], wrt, &[self.fill(1.0, [])])
    }

    /// The tangents of `outputs`, for `tangents` of other tensors.
    #[track_caller]
    pub fn jvp<'t>(
        &'t self,
        outputs: &[Tensor<'t>],
        wrt: &[Tensor<'t>],
        tangents: &[Tensor<'t>],
    ) -> Vec<Tensor<'t>> {
        let at = Location::caller();
        self.check_like("jvp", wrt, tangents, at);
        let every: Vec<_> = [outputs, wrt, tangents].concat();
        let (depth, vars) = self.together(&every, at);
        let (outputs, rest) = vars.split_at(outputs.len());
        let (wrt, tangents) = rest.split_at(wrt.len());
        let pairs: Vec<(Var, Var)> = wrt.iter().copied().zip(tangents.iter().copied()).collect();
        let mut levels = self.levels.borrow_mut();
        let g = &mut levels.open[depth].graph;
        let results = transform::jvp(g, outputs, &pairs);
        let results = results
            .into_iter()
            .zip(outputs)
            .map(|(r, &o)| g.or_zeros(r, o));
        let results: Vars = results.collect();
        drop(levels);
        self.all(depth, results)
    }

    /// The products of the transposed Jacobian of `outputs` with `cotangents`: one result for each of `wrt`.
    #[track_caller]
    pub fn vjp<'t>(
        &'t self,
        outputs: &[Tensor<'t>],
        wrt: &[Tensor<'t>],
        cotangents: &[Tensor<'t>],
    ) -> Vec<Tensor<'t>> {
        let at = Location::caller();
        self.check_like("vjp", outputs, cotangents, at);
        let every: Vec<_> = [outputs, wrt, cotangents].concat();
        let (depth, vars) = self.together(&every, at);
        let (outputs, rest) = vars.split_at(outputs.len());
        let (wrt, cotangents) = rest.split_at(wrt.len());
        let mut levels = self.levels.borrow_mut();
        let results = transform::vjp(&mut levels.open[depth].graph, outputs, wrt, cotangents);
        drop(levels);
        self.all(depth, results)
    }

    fn check_like(&self, what: &str, a: &[Tensor<'_>], b: &[Tensor<'_>], at: &Location<'_>) {
        if a.len() != b.len() {
            fail(
                what,
                &format!("{} tensors, but {} of their kind", a.len(), b.len()),
                at,
            );
        }
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (self.type_of(*a, at), self.type_of(*b, at));
            if a != b {
                fail(what, &format!("{b} cannot belong to {a}"), at);
            }
        }
    }

    /// Runs `body` once for each slice of `slices` along their first axis. It gets what it gave the step before, at first
    /// `carries`, and the slices; it returns what the next step gets, and values that are stacked along a new first axis.
    /// Tensors from outside may be used in it.
    ///
    /// Returns the last carries and the stacks.
    #[track_caller]
    pub fn scan<'t>(
        &'t self,
        carries: &[Tensor<'t>],
        slices: &[Tensor<'t>],
        body: impl FnOnce(&[Tensor<'t>], &[Tensor<'t>]) -> (Vec<Tensor<'t>>, Vec<Tensor<'t>>),
    ) -> (Vec<Tensor<'t>>, Vec<Tensor<'t>>) {
        let at = Location::caller();
        let length = self.scan_length(slices, at);
        let per_step = |t: &Tensor<'_>| {
            let mut t = self.type_of(*t, at);
            t.shape.remove(0);
            t
        };
        let types = carries.iter().map(|t| self.type_of(*t, at));
        let types: Vec<Type> = types.chain(slices.iter().map(per_step)).collect();
        let depth = self.levels.borrow_mut().open();
        let inputs: Vec<Var> = {
            let graph = &mut self.levels.borrow_mut().open[depth].graph;
            types.into_iter().map(|t| graph.input(t)).collect()
        };
        let own = self.all(depth, inputs.iter().copied());
        let (next, stacked) = body(&own[..carries.len()], &own[carries.len()..]);
        if next.len() != carries.len() {
            fail(
                "scan",
                &format!("{} carries, the body returns {}", carries.len(), next.len()),
                at,
            );
        }
        let outputs = next
            .iter()
            .chain(&stacked)
            .map(|t| self.lifted(*t, depth, at));
        let outputs: Vars = outputs.collect();
        let level = self.levels.borrow_mut().open.pop().expect("opened above");
        let captured = level.captured.iter().map(|c| c.1);
        let inputs: Vec<Input> = captured.chain(inputs).map(Input::unnamed).collect();
        let scan = Scan {
            body: Arc::new(Program::extract(&level.graph, &inputs, &outputs)),
            length,
            consts: level.captured.len(),
            carries: carries.len(),
            sums: 0,
            from_end: false,
        };
        let consts = self.all(depth - 1, level.captured.iter().map(|c| c.0));
        let mut results = self.emit_all(scan.into(), &[&consts[..], carries, slices].concat(), at);
        let stacks = results.split_off(carries.len());
        (results, stacks)
    }

    fn scan_length(&self, slices: &[Tensor<'_>], at: &Location<'_>) -> usize {
        let lengths = slices
            .iter()
            .map(|t| self.type_of(*t, at).shape.first().copied());
        let lengths: Vec<Option<usize>> = lengths.collect();
        match lengths.first() {
            Some(&Some(length)) if lengths.iter().all(|&l| l == Some(length)) => length,
            _ => fail(
                "scan",
                &format!("the first axes have lengths {lengths:?}, not one length"),
                at,
            ),
        }
    }
}
