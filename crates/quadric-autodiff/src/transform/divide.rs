//! Programs over rows that do not know each other: what one does for all rows, several do for some of them each.
//!
//! The body of a recurrent network treats every sequence of its batch alike. Where that can be seen from its equations, the
//! sequences are divided among tasks that run all steps without waiting for one another.

use crate::graph::Graph;
use crate::ops::{Binary, Op, Role, Scan, Unary};
use crate::program::{Equation, Program};
use crate::types::{Shape, Type, Var};
use std::collections::HashMap;
use std::sync::Arc;

/// What a value of a part of the rows is to the value of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Along {
    /// The same.
    Same,
    /// The part's rows of it: those are along this axis, which may hold several entries of each row together.
    Rows(usize),
    /// A term of it: those of all parts add up to it.
    Term,
}

/// A program whose rows can be divided.
#[derive(Clone, Debug)]
pub(crate) struct Divisible {
    /// Rows of the whole.
    pub(crate) rows: usize,
    /// For every input, `Same` or `Rows(0)`.
    pub(crate) inputs: Vec<Along>,
}

impl Divisible {
    /// The way to divide a program, if there is one in which the inputs marked `divided` are cut along their first axis and the
    /// outputs are terms where `summed` says so, and rows elsewhere.
    pub(crate) fn new(program: &Program, divided: &[bool], summed: &[bool]) -> Option<Self> {
        let first = divided.iter().position(|&d| d)?;
        let rows = *program.input_type(first).shape.first()?;
        let along = |&d: &bool| if d { Along::Rows(0) } else { Along::Same };
        let mut this = Self {
            rows,
            inputs: divided.iter().map(along).collect(),
        };
        loop {
            match this.walk(program, rows) {
                Ok((_, found)) => {
                    let fits = |(a, &s): (&Along, &bool)| match a {
                        Along::Term => s,
                        Along::Rows(axis) => !s && *axis == 0,
                        Along::Same => false,
                    };
                    return found.iter().zip(summed).all(fits).then_some(this);
                }
                // An input that is met by rows, entry by entry, has rows as well.
                Err(Some(input)) if this.inputs[input] == Along::Same => {
                    if program.input_type(input).shape.first() != Some(&rows) {
                        return None;
                    }
                    this.inputs[input] = Along::Rows(0);
                }
                Err(_) => return None,
            }
        }
    }

    /// Everything in one part.
    pub(crate) fn whole(inputs: usize) -> Self {
        Self {
            rows: 1,
            inputs: vec![Along::Same; inputs],
        }
    }

    /// The program for a part of `rows` rows.
    pub(crate) fn part(&self, program: &Program, rows: usize) -> Program {
        let (program, _) = self.walk(program, rows).expect("it was divided before");
        program
    }

    /// Emits the equations for some rows; the error is an input that would have to have rows, if there is one.
    fn walk(&self, program: &Program, rows: usize) -> Result<(Program, Vec<Along>), Option<usize>> {
        let mut walk = Walk::new(program, self.rows, rows);
        let mut inputs = program.inputs.clone();
        for (i, input) in inputs.iter_mut().enumerate() {
            let mut t = program.input_type(i).clone();
            if let Along::Rows(axis) = self.inputs[i] {
                if t.shape.get(axis) != Some(&self.rows) {
                    return Err(None);
                }
                t.shape[axis] = rows;
            }
            let own = walk.graph.input(t);
            walk.known.insert(input.var, (own, self.inputs[i]));
            input.var = own;
        }
        for e in &program.equations {
            walk.emit(e)?;
        }
        let outputs: Vec<(Var, Along)> = program.outputs.iter().map(|v| walk.known[v]).collect();
        let vars: Vec<Var> = outputs.iter().map(|o| o.0).collect();
        let along = outputs.iter().map(|o| o.1).collect();
        Ok((Program::extract(&walk.graph, &inputs, &vars), along))
    }
}

/// Makes the equations of a part of the rows from those of all.
pub(super) struct Walk<'a> {
    rules: Rules<'a>,
    pub(super) graph: Graph,
    /// For the values of the program those of the part.
    pub(super) known: HashMap<Var, (Var, Along)>,
}

/// What operations do with rows.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) program: &'a Program,
    /// Rows of the whole, and of a part.
    pub(super) all: usize,
    pub(super) rows: usize,
}

/// What an operation makes of rows.
pub(super) struct Fit {
    /// What each result is.
    pub(super) results: Vec<Along>,
    /// The arguments that must have rows for it, each with the axis.
    pub(super) wanted: Vec<(usize, usize)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(program: &'a Program, all: usize, rows: usize) -> Self {
        Self {
            rules: Rules { program, all, rows },
            graph: Graph::default(),
            known: HashMap::new(),
        }
    }

    pub(super) fn emit(&mut self, e: &Equation) -> Result<(), Option<usize>> {
        let along: Vec<Along> = e.args.iter().map(|v| self.known[v].1).collect();
        let mut own: Vec<Var> = e.args.iter().map(|v| self.known[v].0).collect();
        let mut op = e.op.clone();
        let found = if along.iter().all(|&a| a == Along::Same) {
            vec![Along::Same; e.results.len()]
        } else {
            let fit = self.rules.apply(&mut op, e, &along).ok_or(None)?;
            for (i, axis) in fit.wanted {
                own[i] = self.narrowed(e.args[i], axis)?;
            }
            fit.results
        };
        let results = self.graph.emit_all(op, &own);
        for ((&v, own), along) in e.results.iter().zip(results).zip(found) {
            self.known.insert(v, (own, along));
        }
        Ok(())
    }

    /// Some rows of a value that has no rows yet: of one that is the same everywhere along the axis.
    fn narrowed(&mut self, v: Var, axis: usize) -> Result<Var, Option<usize>> {
        let (own, along) = self.known[&v];
        if along == Along::Rows(axis) {
            return Ok(own);
        }
        let owner = self.owner(v).filter(|_| axis == 0);
        let e = self.graph.producer(own).ok_or(owner)?.clone();
        let mut shape = self.rules.shape(v).clone();
        shape[axis] = self.rules.part(shape[axis]);
        match &e.op {
            Op::Broadcast(p) if !p.axes.contains(&axis) => {
                Ok(self.graph.broadcast(e.args[0], &shape, &p.axes))
            }
            Op::Constant(c) => match c.resized(axis, shape[axis]) {
                Some(constant) => Ok(self.graph.emit(constant, &[])),
                None => Err(owner),
            },
            op if is_entrywise(op) => {
                let maker = self.rules.maker(v).ok_or(owner)?.clone();
                let args: Result<Vec<Var>, _> =
                    maker.args.iter().map(|&a| self.narrowed(a, axis)).collect();
                Ok(self.graph.emit_all(maker.op, &args?)[0])
            }
            _ => Err(owner),
        }
    }

    /// An input without rows that a value is computed from, entry by entry.
    fn owner(&self, v: Var) -> Option<usize> {
        let inputs = &self.rules.program.inputs;
        if let Some(i) = inputs.iter().position(|input| input.var == v) {
            return (self.known[&v].1 == Along::Same).then_some(i);
        }
        let e = self.rules.maker(v)?;
        match &e.op {
            Op::Broadcast(p) if p.axes.first() == Some(&0) => self.owner(e.args[0]),
            op if is_entrywise(op) => e.args.iter().find_map(|&a| self.owner(a)),
            _ => None,
        }
    }
}

impl Rules<'_> {
    fn shape(&self, v: Var) -> &Shape {
        let t: &Type = &self.program.types[v.index()];
        &t.shape
    }

    fn maker(&self, v: Var) -> Option<&Equation> {
        let makes = |e: &&Equation| e.results.contains(&v);
        self.program.equations.iter().find(makes)
    }

    /// What is left of a length in a part.
    pub(super) fn part(&self, length: usize) -> usize {
        length / self.all * self.rows
    }

    /// What the results are, with the operation made to fit the part; none if rows meet.
    pub(super) fn apply(&self, op: &mut Op, e: &Equation, along: &[Along]) -> Option<Fit> {
        if let Op::Scan(scan) = op {
            return self.repeated(scan, along);
        }
        let result = self.single(op, e, along)?;
        let rank = self.shape(e.results[0]).len();
        Some(Fit {
            results: vec![result],
            wanted: wanted(op, along.len(), rank, result),
        })
    }

    /// A scan whose steps treat rows alike: they lie behind the steps in what is sliced and stacked.
    fn repeated(&self, scan: &mut Scan, along: &[Along]) -> Option<Fit> {
        let (sliced, summed) = (scan.sliced(), scan.summed());
        let front = |i: usize| usize::from(sliced.contains(&i));
        // What goes from step to step has rows where anything has.
        let carried = scan.carried();
        let has_rows = |(i, &a): (usize, &Along)| match a {
            Along::Same => Some(carried.contains(&i)),
            a => (a == Along::Rows(front(i))).then_some(true),
        };
        let divided: Option<Vec<bool>> = along.iter().enumerate().map(has_rows).collect();
        let outputs = 0..scan.body.outputs();
        let sums: Vec<bool> = outputs.clone().map(|i| summed.contains(&i)).collect();
        let found = Divisible::new(&scan.body, &divided?, &sums)?;
        if found.rows != self.all {
            return None;
        }
        let is_cut = |&i: &usize| found.inputs[i] != Along::Same;
        let wanted = (0..along.len()).filter(is_cut).map(|i| (i, front(i)));
        let result = |i: usize| match i {
            i if summed.contains(&i) => Along::Term,
            i => Along::Rows(usize::from(i >= summed.end)),
        };
        let fit = Fit {
            results: outputs.map(result).collect(),
            wanted: wanted.collect(),
        };
        scan.body = Arc::new(found.part(&scan.body, self.rows));
        Some(fit)
    }

    /// As [`apply`](Self::apply), of operations with one result.
    fn single(&self, op: &mut Op, e: &Equation, along: &[Along]) -> Option<Along> {
        let shape = self.shape(e.results[0]);
        if along.contains(&Along::Term) {
            return keeps_terms(op, along).then_some(Along::Term);
        }
        let axis = |i: usize| match along[i] {
            Along::Rows(axis) => Some(axis),
            _ => None,
        };
        // The one axis of all arguments that have rows.
        let common = || {
            let first = (0..along.len()).find_map(axis)?;
            let alike = (0..along.len()).all(|i| axis(i).is_none_or(|a| a == first));
            alike.then_some(first)
        };
        match op {
            op if is_entrywise(op) => common().map(Along::Rows),
            Op::Broadcast(p) => {
                let to = p.axes[axis(0)?];
                p.shape[to] = self.part(p.shape[to]);
                Some(Along::Rows(to))
            }
            Op::Permute(p) => {
                let from = axis(0)?;
                p.axes.iter().position(|&a| a == from).map(Along::Rows)
            }
            Op::Reshape(p) => {
                let to = same_axis(self.shape(e.args[0]), axis(0)?, shape, self.all)?;
                p.shape[to] = self.part(p.shape[to]);
                Some(Along::Rows(to))
            }
            Op::Slice(p) => {
                let at = axis(0)?;
                let length = self.shape(e.args[0])[at];
                let whole = p.starts[at] == 0 && p.steps[at] == 1 && p.sizes[at] == length;
                p.sizes[at] = self.part(length);
                whole.then_some(Along::Rows(at))
            }
            Op::Pad(p) => {
                let at = axis(0)?;
                let untouched = [&p.before, &p.between, &p.after].iter().all(|v| v[at] == 0);
                untouched.then_some(Along::Rows(at))
            }
            Op::Concat(p) => common().filter(|&a| a != p.axis).map(Along::Rows),
            Op::ReduceSum(p) => Some(reduced(&p.axes, axis(0)?).map_or(Along::Term, Along::Rows)),
            Op::ReduceMax(p) => reduced(&p.axes, axis(0)?).map(Along::Rows),
            Op::CumulativeSum(p) => axis(0).filter(|&a| a != p.axis).map(Along::Rows),
            Op::MatMul(_) => product(axis(0), axis(1), shape.len()),
            Op::Convolution(p) => images(p.role, axis(0), axis(1), shape.len() - 4),
            Op::Gather(p) if along[0] == Along::Same => {
                axis(1).filter(|&a| a >= p.batch).map(Along::Rows)
            }
            Op::ScatterAdd(p) if axis(0) == axis(1) => {
                axis(0).filter(|&a| a >= p.batch).map(|_| Along::Term)
            }
            _ => None,
        }
    }
}

/// True for operations that compute every entry of the result from the same entries of the arguments.
pub(super) fn is_entrywise(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Detach(_) | Op::Real(_)
    )
}

/// True for operations on terms whose results are terms: they are linear.
fn keeps_terms(op: &Op, along: &[Along]) -> bool {
    match op {
        Op::Unary(Unary::Neg)
        | Op::Permute(_)
        | Op::Reshape(_)
        | Op::Broadcast(_)
        | Op::ReduceSum(_) => true,
        Op::Binary(Binary::Add | Binary::Sub) => along.iter().all(|&a| a == Along::Term),
        _ => false,
    }
}

/// The arguments that must have rows, each with the axis, for the result to have them: entry by entry, and pair by pair, all
/// have rows where one has.
fn wanted(op: &Op, args: usize, rank: usize, result: Along) -> Vec<(usize, usize)> {
    let Along::Rows(axis) = result else {
        return Vec::new();
    };
    let all = (0..args).map(|i| (i, axis));
    match op {
        Op::Concat(_) => all.collect(),
        op if is_entrywise(op) => all.collect(),
        Op::MatMul(_) if axis + 2 < rank => all.collect(),
        _ => Vec::new(),
    }
}

/// The axis after a reduction along others.
fn reduced(axes: &[usize], axis: usize) -> Option<usize> {
    let before = axes.iter().filter(|&&a| a < axis).count();
    (!axes.contains(&axis)).then(|| axis - before)
}

/// The axis of another shape that goes over the same entries, with those of a row together.
fn same_axis(from: &[usize], axis: usize, to: &[usize], rows: usize) -> Option<usize> {
    let before: usize = from[..axis].iter().product();
    let whole = |i: usize| to[i] != 0 && to[i].is_multiple_of(rows);
    let fits = |&i: &usize| whole(i) && to[..i].iter().product::<usize>() == before;
    (0..to.len()).find(fits)
}

/// The result of a convolution whose images lie along axis `front`, for axes of rows of its arguments.
fn images(role: Role, a: Option<usize>, b: Option<usize>, front: usize) -> Option<Along> {
    match (role, a, b) {
        (Role::Output | Role::Input, Some(axis), None) if axis == front => Some(Along::Rows(axis)),
        (Role::Kernel, Some(a), Some(b)) if a == b && a == front => Some(Along::Term),
        _ => None,
    }
}

/// The result of a product, for axes of rows of its arguments.
fn product(a: Option<usize>, b: Option<usize>, rank: usize) -> Option<Along> {
    let (row, column) = (rank - 2, rank - 1);
    match (a, b) {
        (Some(axis), None) if axis == row => Some(Along::Rows(row)),
        (None, Some(axis)) if axis == column => Some(Along::Rows(column)),
        (Some(a), Some(b)) if a == b && a < row => Some(Along::Rows(a)),
        (Some(axis), None) | (None, Some(axis)) if axis < row => Some(Along::Rows(axis)),
        (Some(a), Some(b)) if a == column && b == row => Some(Along::Term),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Divisible;
    use crate::array::Array;
    use crate::interpret;
    use crate::ops::{Op, Scan};
    use crate::program::Program;
    use crate::transform::hoist;
    use crate::types::Kind;
    use quadric_linalg::random::SeedTree;

    /// The scans of the Hessian product of a recurrent network, along `block` directions at once.
    fn scans(block: usize) -> Vec<Scan> {
        let loss = Program::trace(|t| {
            let (x, w) = (t.input("x", [4, 7, 3]), t.input("w", [3, 10]));
            let (u, b) = (t.input("u", [5, 10]), t.input("b", [10]));
            let zero = t.fill(0.0, [7, 5]);
            let (last, stacks) = t.scan(&[zero], &[x], |h, x| {
                let z = x[0].matmul(w) + h[0].matmul(u) + b;
                let gate = z.slice(1, 0..5).sigmoid();
                let next = gate * h[0] + (-gate + 1.0) * z.slice(1, 5..10).tanh();
                (vec![next], vec![next.square().sum(&[1])])
            });
            vec![last[0].sum_all() + stacks[0].exp().sum_all()]
        });
        let product = loss
            .and_then(|p| p.grad(&["w", "u", "b"]))
            .and_then(|g| g.linearize(&["w", "u", "b"]))
            .and_then(|p| p.batch(&["d w", "d u", "d b"], block))
            .expect("a program");
        let equations = hoist(&product).equations;
        let scans = equations.into_iter().filter_map(|e| match e.op {
            Op::Scan(scan) => Some(scan),
            _ => None,
        });
        scans.collect()
    }

    fn divided(scan: &Scan) -> Option<Divisible> {
        let carried: Vec<bool> = (0..scan.body.inputs().len())
            .map(|i| scan.carried().contains(&i))
            .collect();
        let summed: Vec<bool> = (0..scan.body.outputs())
            .map(|i| scan.summed().contains(&i))
            .collect();
        Divisible::new(&scan.body, &carried, &summed)
    }

    /// A step for all rows is the steps of the parts, one after another.
    #[test]
    fn parts_make_up_the_whole() {
        for (block, scan) in [1, 3]
            .iter()
            .flat_map(|&b| scans(b).into_iter().map(move |s| (b, s)))
        {
            let found = divided(&scan).unwrap_or_else(|| panic!("rows of\n{}", scan.body));
            let mut stream = SeedTree::new(block as u64).child("parts").stream(0);
            let inputs: Vec<Array<f64>> = (0..scan.body.inputs().len())
                .map(|i| {
                    let t = scan.body.input_type(i);
                    assert_eq!(t.kind, Kind::Float);
                    Array::Float((0..t.len()).map(|_| stream.normal()).collect())
                })
                .collect();
            let whole = interpret::run(&scan.body, inputs.clone()).expect("no index is read");
            let mut parts: Vec<Vec<f64>> = vec![Vec::new(); whole.len()];
            let first = found.rows / 2;
            for rows in [0..first, first..found.rows] {
                let body = found.part(&scan.body, rows.len());
                let own = inputs.iter().enumerate().map(|(i, x)| {
                    let (n, all) = (body.input_type(i).len(), x.floats());
                    let start = (all.len() - n) * usize::from(rows.start > 0);
                    Array::Float(all[start..start + n].to_vec())
                });
                let outputs = interpret::run(&body, own.collect()).expect("no index is read");
                for (i, out) in outputs.iter().enumerate() {
                    if scan.summed().contains(&i) && rows.start > 0 {
                        parts[i]
                            .iter_mut()
                            .zip(out.floats())
                            .for_each(|(s, v)| *s += v);
                    } else {
                        parts[i].extend(out.floats());
                    }
                }
            }
            for (found, expected) in parts.iter().zip(&whole) {
                assert_eq!(found.len(), expected.floats().len());
                for (a, b) in found.iter().zip(expected.floats()) {
                    assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{a} is not {b}");
                }
            }
        }
    }

    /// A step that mixes rows is left whole.
    #[test]
    fn rows_that_meet_are_not_divided() {
        let program = Program::trace(|t| {
            let h = t.input("h", [4, 4]);
            vec![h.softmax(0)]
        });
        let program = program.expect("shapes fit");
        assert!(Divisible::new(&program, &[true], &[false]).is_none());
    }
}
