//! Where programs grow: equations in single-assignment form, each emitted once.
//!
//! Tracing and every transform append to a [`Graph`]. Emitting infers the types of the results, applies the identities of
//! [`simplify`], and returns what an equal equation returned before, so that a transform may spell out its rules naively.

mod simplify;

use crate::ops::{Binary, Broadcast, Constant, Op, Permute, Primitive, ReduceSum, Reshape, Unary};
use crate::program::{Equation, Program, mark_dependents, mark_needed};
use crate::types::{Kind, Shape, Type, Var, with_leading};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// A list of a few values.
pub(crate) type Vars = SmallVec<[Var; 4]>;

#[derive(Default)]
pub(crate) struct Graph {
    types: Vec<Type>,
    /// Which equation makes a value; none for inputs.
    producers: Vec<Option<u32>>,
    equations: Vec<Equation>,
    known: HashMap<(Op, Vars), u32>,
}

impl Graph {
    /// A value from outside.
    pub(crate) fn input(&mut self, t: Type) -> Var {
        let var = Var(self.types.len() as u32);
        self.types.push(t);
        self.producers.push(None);
        var
    }

    pub(crate) fn type_of(&self, v: Var) -> &Type {
        &self.types[v.index()]
    }

    pub(crate) fn shape(&self, v: Var) -> &[usize] {
        &self.types[v.index()].shape
    }

    pub(crate) fn equations(&self) -> &[Equation] {
        &self.equations
    }

    /// The operation that makes a value, and its arguments.
    pub(crate) fn producer(&self, v: Var) -> Option<&Equation> {
        self.producers[v.index()].map(|e| &self.equations[e as usize])
    }

    /// Emits an equation; the message says what is wrong with the arguments.
    pub(crate) fn try_emit(&mut self, op: Op, args: &[Var]) -> Result<Vars, String> {
        let types: Vec<&Type> = args.iter().map(|&v| self.type_of(v)).collect();
        let results = op.infer(&types)?;
        results.iter().try_for_each(Type::check_size)?;
        if let Some(v) = self.simplify(&op, args, &results[0]) {
            return Ok(smallvec![v]);
        }
        let mut key = (op, Vars::from(args));
        if let (Op::Binary(Binary::Add | Binary::Mul), [a, b]) = (&key.0, &mut key.1[..])
            && b < a
        {
            std::mem::swap(a, b);
        }
        if let Some(&e) = self.known.get(&key) {
            let results = &self.equations[e as usize].results;
            return Ok(results.iter().copied().collect());
        }
        let number = self.equations.len() as u32;
        let results: Vars = results.into_iter().map(|t| self.input(t)).collect();
        for v in &results {
            self.producers[v.index()] = Some(number);
        }
        self.equations.push(Equation {
            op: key.0.clone(),
            args: key.1.clone(),
            results: results.clone(),
        });
        self.known.insert(key, number);
        Ok(results)
    }

    /// Emits an equation with one result, whose arguments are known to fit.
    ///
    /// # Panics
    ///
    /// If they do not: a rule of a primitive is wrong.
    #[track_caller]
    pub(crate) fn emit(&mut self, op: impl Into<Op>, args: &[Var]) -> Var {
        self.emit_all(op.into(), args)[0]
    }

    /// As [`Self::emit`], with all results.
    #[track_caller]
    pub(crate) fn emit_all(&mut self, op: Op, args: &[Var]) -> Vars {
        let name = op.name();
        match self.try_emit(op, args) {
            Ok(results) => results,
            Err(e) => panic!("a rule emitted a wrong {name}: {e}"),
        }
    }

    /// Lets an equation that is already there do more: `op` takes the place of its operation, and gives the old results
    /// and then `more`.
    pub(crate) fn extend(&mut self, equation: usize, op: Op, more: Vec<Type>) -> Vars {
        let old = &self.equations[equation];
        self.known.remove(&(old.op.clone(), old.args.clone()));
        let first = self.types.len();
        for t in more {
            let v = self.input(t);
            self.producers[v.index()] = Some(equation as u32);
        }
        let added = (first..self.types.len()).map(|v| Var(v as u32));
        let changed = &mut self.equations[equation];
        changed.op = op;
        changed.results.extend(added.clone());
        let key = (changed.op.clone(), changed.args.clone());
        self.known.insert(key, equation as u32);
        added.collect()
    }

    /// Emits the equations of a program on `args`; returns its outputs.
    pub(crate) fn inline(&mut self, program: &Program, args: &[Var]) -> Vars {
        assert_eq!(program.inputs().len(), args.len(), "arguments of a program");
        let mut map = vec![Var(u32::MAX); program.types.len()];
        for (input, &v) in program.inputs().iter().zip(args) {
            map[input.var.index()] = v;
        }
        for e in &program.equations {
            let args: Vars = e.args.iter().map(|v| map[v.index()]).collect();
            let results = self.emit_all(e.op.clone(), &args);
            for (old, &new) in e.results.iter().zip(&results) {
                map[old.index()] = new;
            }
        }
        program.outputs.iter().map(|v| map[v.index()]).collect()
    }

    /// Which values depend on `sources`, counting themselves.
    pub(crate) fn dependents(&self, sources: impl IntoIterator<Item = Var>) -> Vec<bool> {
        let mut depends = vec![false; self.types.len()];
        for v in sources {
            depends[v.index()] = true;
        }
        mark_dependents(&self.equations, &mut depends);
        depends
    }

    /// Which values `outputs` depend on, counting themselves.
    pub(crate) fn needed(&self, outputs: impl IntoIterator<Item = Var>) -> Vec<bool> {
        let mut needed = vec![false; self.types.len()];
        for v in outputs {
            needed[v.index()] = true;
        }
        mark_needed(&self.equations, &mut needed);
        needed
    }
}

/// The vocabulary of the rules.
impl Graph {
    /// A constant array of one value.
    pub(crate) fn fill(&mut self, value: f64, shape: &[usize]) -> Var {
        self.emit(Constant::fill(value, shape), &[])
    }

    /// A constant of the shape of `v`.
    pub(crate) fn fill_like(&mut self, value: f64, v: Var) -> Var {
        let shape = self.type_of(v).shape.clone();
        self.fill(value, &shape)
    }

    /// The value itself, or zeros of the type of `like`.
    pub(crate) fn or_zeros(&mut self, v: Option<Var>, like: Var) -> Var {
        v.unwrap_or_else(|| self.fill_like(0.0, like))
    }

    pub(crate) fn unary(&mut self, f: Unary, x: Var) -> Var {
        self.emit(f, &[x])
    }

    pub(crate) fn add(&mut self, a: Var, b: Var) -> Var {
        self.emit(Binary::Add, &[a, b])
    }

    pub(crate) fn sub(&mut self, a: Var, b: Var) -> Var {
        self.emit(Binary::Sub, &[a, b])
    }

    pub(crate) fn mul(&mut self, a: Var, b: Var) -> Var {
        self.emit(Binary::Mul, &[a, b])
    }

    pub(crate) fn div(&mut self, a: Var, b: Var) -> Var {
        self.emit(Binary::Div, &[a, b])
    }

    pub(crate) fn neg(&mut self, x: Var) -> Var {
        self.unary(Unary::Neg, x)
    }

    pub(crate) fn scale(&mut self, x: Var, by: f64) -> Var {
        let by = self.fill_like(by, x);
        self.mul(x, by)
    }

    /// The sum of what is there.
    pub(crate) fn add_any(&mut self, a: Option<Var>, b: Option<Var>) -> Option<Var> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.add(a, b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn reshape(&mut self, x: Var, shape: &[usize]) -> Var {
        let shape = Shape::from(shape);
        self.emit(Reshape { shape }, &[x])
    }

    pub(crate) fn permute(&mut self, x: Var, axes: &[usize]) -> Var {
        let axes = axes.into();
        self.emit(Permute { axes }, &[x])
    }

    /// The same matrices with rows and columns exchanged.
    pub(crate) fn swap_last(&mut self, x: Var) -> Var {
        let rank = self.shape(x).len();
        let mut axes: Shape = (0..rank).collect();
        axes.swap(rank - 1, rank - 2);
        self.permute(x, &axes)
    }

    pub(crate) fn sum(&mut self, x: Var, axes: &[usize]) -> Var {
        let axes = axes.into();
        self.emit(ReduceSum { axes }, &[x])
    }

    /// Repeats `x` along new axes: its axis i becomes axis `axes[i]` of `shape`.
    pub(crate) fn broadcast(&mut self, x: Var, shape: &[usize], axes: &[usize]) -> Var {
        let (shape, axes) = (shape.into(), axes.into());
        self.emit(Broadcast { shape, axes }, &[x])
    }

    /// Repeats `x` along one new axis in front.
    pub(crate) fn repeat(&mut self, x: Var, size: usize) -> Var {
        let shape = with_leading(size, self.shape(x));
        let axes: Shape = (1..shape.len()).collect();
        self.broadcast(x, &shape, &axes)
    }

    /// Repeats `x`, a value without some `axes` of `shape`, along these.
    pub(crate) fn spread(&mut self, x: Var, shape: &[usize], axes: &[usize]) -> Var {
        let kept: Shape = (0..shape.len()).filter(|i| !axes.contains(i)).collect();
        self.broadcast(x, shape, &kept)
    }

    /// The number that a constant array repeats.
    pub(crate) fn filled(&self, v: Var) -> Option<f64> {
        match &self.producer(v)?.op {
            Op::Constant(c) => c.filled(),
            _ => None,
        }
    }

    pub(crate) fn is_float(&self, v: Var) -> bool {
        self.type_of(v).kind == Kind::Float
    }
}
