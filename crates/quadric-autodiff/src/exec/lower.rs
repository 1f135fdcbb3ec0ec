//! From equations to steps.
//!
//! First every equation becomes a view, a part of a loop, or a step of its own ([`Lowering::equation`]). An element-wise operation
//! joins the loop that makes one of its arguments if everything else that it reads is there before the loop runs, or if the
//! loop can wait for it. Then steps are put in order, and buffers shared by values that do not live at the same time.

mod buffers;
mod steps;

use super::Plan;
use super::convolve::is_images;
use super::direct::{fits, is_direct};
use super::fused::{Code, Reduction, Source};
use super::product::is_matrix;
use super::repeat::is_plain;
use super::storage::Pool;
use super::view::View;
use crate::ops::{Binary, Constant, Convolution, Op, Slice};
use crate::program::{Equation, Program};
use crate::transform::Staged;
use crate::types::{Kind, Shape, Type, Var, row_major};
use buffers::Buffer;
use quadric_linalg::Scalar;
use std::sync::Arc;

/// Operations of a loop, at most.
const LONGEST: usize = 48;

/// An argument of an operation of a group.
#[derive(Clone)]
enum Operand {
    Register(usize),
    View(View),
    Number(f64),
}

/// A reduction of a group.
struct Reduced {
    source: Operand,
    reduction: Reduction,
    axes: Shape,
    buffer: usize,
}

/// Element-wise operations over one shape.
struct Group {
    shape: Shape,
    code: Vec<(Code, [Operand; 3])>,
    /// The buffer of each operation's result.
    buffers: Vec<usize>,
    sinks: Vec<Reduced>,
}

enum Work {
    Group(Group),
    /// A product that is written to a buffer, or added to what is there.
    Product {
        a: View,
        b: View,
        out: usize,
        adds: bool,
    },
    Assemble(Vec<(View, Slice)>, usize, Shape),
    Convolve(Convolution, View, View, usize),
    Scan(crate::ops::Scan, Vec<usize>, Vec<usize>),
    Direct(Op, Vec<View>, usize),
    Plain(Op, Vec<(usize, Type)>, Vec<(usize, Type)>),
    CopyIndices(View, usize),
}

/// A step that is being put together.
struct Item {
    work: Work,
    /// Steps run in the order of this.
    order: usize,
    late: bool,
    reads: Vec<usize>,
    writes: Vec<usize>,
    /// True once another step reads what it makes: from then on it cannot wait.
    is_read: bool,
}

struct Lowering<'p> {
    program: &'p Program,
    /// Whether a value depends on directions.
    late: Vec<bool>,
    /// How often a value is read, or given.
    uses: Vec<usize>,
    buffers: Vec<Buffer>,
    views: Vec<Option<View>>,
    numbers: Vec<Option<f64>>,
    items: Vec<Item>,
    clock: usize,
}

/// Compiles a program. Its scans take their buffers from a pool.
pub(super) fn lower<T: Scalar>(staged: Staged, pool: &Arc<Pool<T>>) -> Plan<T> {
    let Staged { program, late } = staged;
    let mut lowering = Lowering::new(&program, late);
    for late in [false, true] {
        for e in &program.equations {
            if lowering.is_late(e) == late {
                lowering.equation(e, late);
            }
        }
    }
    lowering.outputs();
    lowering.finish(pool)
}

impl<'p> Lowering<'p> {
    fn new(program: &'p Program, late: Vec<bool>) -> Self {
        let (mut buffers, mut views) = (Vec::new(), vec![None; program.types.len()]);
        for (i, input) in program.inputs.iter().enumerate() {
            let t = &program.types[input.var.index()];
            buffers.push(Buffer::given(t.clone(), i));
            views[input.var.index()] = Some(View::dense(i, &t.shape));
        }
        let mut uses = vec![0; program.types.len()];
        let read = program.equations.iter().flat_map(|e| e.args.iter());
        read.chain(&program.outputs)
            .for_each(|v| uses[v.index()] += 1);
        Self {
            program,
            late,
            uses,
            buffers,
            numbers: vec![None; views.len()],
            views,
            items: Vec::new(),
            clock: 0,
        }
    }

    /// True if the program has directions.
    fn is_staged(&self) -> bool {
        self.program.inputs.iter().any(|i| i.direction)
    }

    fn is_late(&self, e: &Equation) -> bool {
        e.results.iter().any(|v| self.late[v.index()])
    }

    fn type_of(&self, v: Var) -> &'p Type {
        &self.program.types[v.index()]
    }

    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    fn new_buffer(&mut self, t: &Type) -> usize {
        self.buffers.push(Buffer::made(t.clone()));
        self.buffers.len() - 1
    }

    /// A buffer for a value.
    fn result(&mut self, v: Var) -> usize {
        let t = self.type_of(v).clone();
        let buffer = self.new_buffer(&t);
        self.views[v.index()] = Some(View::dense(buffer, &t.shape));
        buffer
    }

    fn equation(&mut self, e: &Equation, late: bool) {
        let first = e.results[0];
        match &e.op {
            Op::Constant(c) => self.constant(c, first),
            Op::Unary(f) if self.is_float(e) => {
                self.fuse(e, Code::Map(*f, Source::Number(0.0)), late);
            }
            Op::Binary(Binary::Add) if self.adds_product(e, late) => {}
            Op::Binary(f) if self.is_float(e) => {
                let code = Code::Zip(*f, Source::Number(0.0), Source::Number(0.0));
                self.fuse(e, code, late);
            }
            Op::Select(_) => {
                let none = Source::Number(0.0);
                self.fuse(e, Code::Select(none, none, none), late);
            }
            Op::ReduceSum(p) => self.reduce(e, Reduction::Sum, &p.axes, late),
            Op::ReduceMax(p) => self.reduce(e, Reduction::Max, &p.axes, late),
            Op::MatMul(_) => {
                let [a, b] = [0, 1].map(|i| self.seen_as(e.args[i], is_matrix, late));
                let out = self.result(first);
                let reads = vec![a.buffer, b.buffer];
                let adds = false;
                self.push(Work::Product { a, b, out, adds }, late, reads, vec![out]);
            }
            Op::Convolution(op) => {
                let [a, b] = [0, 1].map(|i| self.seen_as(e.args[i], is_images, late));
                let out = self.result(first);
                let reads = vec![a.buffer, b.buffer];
                self.push(Work::Convolve(*op, a, b, out), late, reads, vec![out]);
            }
            Op::Pad(p) => {
                let parts = vec![p.inside(&self.type_of(e.args[0]).shape)];
                self.assemble(e, parts, late);
            }
            Op::Concat(p) => {
                let shapes = e.args.iter().map(|&v| self.type_of(v).shape.clone());
                let parts = p.parts(shapes);
                self.assemble(e, parts, late);
            }
            Op::Scan(s) if !is_plain(s) => {
                let args: Vec<usize> = e.args.iter().map(|&v| self.dense(v, late)).collect();
                let results: Vec<usize> = e.results.iter().map(|&v| self.result(v)).collect();
                let work = Work::Scan(s.clone(), args.clone(), results.clone());
                self.push(work, late, args, results);
            }
            op if is_direct(op) => self.direct(e, late),
            op => {
                let seen = self.view(e.args[0]).of(op, &self.type_of(first).shape);
                match seen {
                    Some(view) => self.views[first.index()] = Some(view),
                    None if matches!(op, Op::Reshape(_)) => self.reshape_copy(e, late),
                    None => self.plain(e, late),
                }
            }
        }
    }

    /// Adds one of two products to the other while it is computed, if nothing else reads them.
    fn adds_product(&mut self, e: &Equation, late: bool) -> bool {
        let shape = &self.type_of(e.results[0]).shape;
        let found = [0, 1].map(|i| self.lone_product(e.args[i], shape, late));
        let [Some(a), Some(b)] = found else {
            return false;
        };
        let ((item, out, _), (second, ..)) = match (a.2, b.2) {
            _ if a.0 == b.0 => return false,
            (_, false) => (a, b),
            (false, true) => (b, a),
            (true, true) => return false,
        };
        if self.items[second].order < self.items[item].order {
            self.items[second].order = self.tick();
        }
        let Work::Product { out: to, adds, .. } = &mut self.items[second].work else {
            unreachable!("it is a product");
        };
        self.buffers[*to].is_stored = false;
        (*to, *adds) = (out, true);
        self.items[second].writes = vec![out];
        self.mark_read(out, second);
        self.items[second].reads.push(out);
        self.buffers[out].maker = Some(second);
        self.views[e.results[0].index()] = Some(View::dense(out, shape));
        true
    }

    /// The step, the buffer and whether it is a sum already, of a product that is used once.
    fn lone_product(&self, v: Var, shape: &Shape, late: bool) -> Option<(usize, usize, bool)> {
        let view = self.views[v.index()].as_ref()?;
        let item = self.buffers[view.buffer].maker?;
        let Work::Product { adds, .. } = self.items[item].work else {
            return None;
        };
        let is_whole = *view == View::dense(view.buffer, shape)
            && self.buffers[view.buffer].t.len() == self.type_of(v).len();
        let is_lone = self.uses[v.index()] == 1 && !self.items[item].is_read;
        (is_whole && is_lone && self.items[item].late == late).then_some((item, view.buffer, adds))
    }

    fn assemble(&mut self, e: &Equation, parts: Vec<Slice>, late: bool) {
        let views: Vec<View> = e.args.iter().map(|&v| self.view(v)).collect();
        let reads = views.iter().map(|v| v.buffer).collect();
        let out = self.result(e.results[0]);
        let shape = self.type_of(e.results[0]).shape.clone();
        let parts = views.into_iter().zip(parts).collect();
        self.push(Work::Assemble(parts, out, shape), late, reads, vec![out]);
    }

    fn is_float(&self, e: &Equation) -> bool {
        e.args.iter().all(|&v| self.type_of(v).kind == Kind::Float)
    }

    fn constant(&mut self, c: &Constant, v: Var) {
        if let Some(value) = c.filled() {
            self.numbers[v.index()] = Some(value);
        } else {
            let buffer = self.result(v);
            self.buffers[buffer].constant = Some(c.clone());
        }
    }

    /// The view of a value; a number gets a buffer that holds it once.
    fn view(&mut self, v: Var) -> View {
        if let Some(view) = &self.views[v.index()] {
            return view.clone();
        }
        let value = self.numbers[v.index()].expect("equations are in order");
        let buffer = self.new_buffer(&Type::float([]));
        self.buffers[buffer].constant = Some(Constant::fill(value, &[]));
        let shape = self.type_of(v).shape.clone();
        let strides = shape.iter().map(|_| 0).collect();
        let view = View {
            buffer,
            offset: 0,
            shape,
            strides,
        };
        self.views[v.index()] = Some(view.clone());
        view
    }

    fn push(&mut self, work: Work, late: bool, reads: Vec<usize>, writes: Vec<usize>) -> usize {
        let number = self.items.len();
        for &b in &reads {
            self.mark_read(b, number);
        }
        for &b in &writes {
            self.buffers[b].maker = Some(number);
            self.buffers[b].is_stored = true;
        }
        let order = self.tick();
        self.items.push(Item {
            work,
            order,
            late,
            reads,
            writes,
            is_read: false,
        });
        number
    }

    /// Another step than its maker reads a buffer.
    fn mark_read(&mut self, buffer: usize, reader: usize) {
        self.buffers[buffer].is_stored = true;
        if let Some(maker) = self.buffers[buffer].maker.filter(|&m| m != reader) {
            self.items[maker].is_read = true;
        }
    }

    /// A view that `fits`: of the value where it is, or of a copy.
    fn seen_as(&mut self, v: Var, fits: impl Fn(&View) -> bool, late: bool) -> View {
        let view = self.view(v);
        if fits(&view) {
            return view;
        }
        let buffer = self.copy(&view, late && self.late[v.index()]);
        let dense = View::dense(buffer, &view.shape);
        self.views[v.index()] = Some(dense.clone());
        dense
    }

    /// A buffer that holds a value in row-major order.
    fn dense(&mut self, v: Var, late: bool) -> usize {
        let view = self.view(v);
        let whole = view.offset == 0 && view.is_dense();
        if whole && self.buffers[view.buffer].t.len() == self.type_of(v).len() {
            return view.buffer;
        }
        let late = late && self.late[v.index()];
        let buffer = self.copy(&view, late);
        self.views[v.index()] = Some(View::dense(buffer, &view.shape));
        buffer
    }

    /// Copies a view to a buffer of its own.
    fn copy(&mut self, view: &View, late: bool) -> usize {
        let kind = self.buffers[view.buffer].t.kind;
        let t = Type {
            kind,
            shape: view.shape.clone(),
        };
        let buffer = self.new_buffer(&t);
        let reads = vec![view.buffer];
        let work = if kind == Kind::Index {
            Work::CopyIndices(view.clone(), buffer)
        } else {
            let none = || Operand::Number(0.0);
            Work::Group(Group {
                shape: t.shape.clone(),
                code: vec![(
                    Code::Copy(Source::Number(0.0)),
                    [Operand::View(view.clone()), none(), none()],
                )],
                buffers: vec![buffer],
                sinks: Vec::new(),
            })
        };
        self.push(work, late, reads, vec![buffer]);
        buffer
    }

    fn reshape_copy(&mut self, e: &Equation, late: bool) {
        let view = self.view(e.args[0]);
        let buffer = self.copy(&view, late);
        let shape = &self.type_of(e.results[0]).shape;
        self.views[e.results[0].index()] = Some(View::dense(buffer, shape));
    }

    fn direct(&mut self, e: &Equation, late: bool) {
        let (op, first) = (&e.op, self.type_of(e.args[0]).rank());
        let mut views: Vec<View> = Vec::new();
        for (i, &v) in e.args.iter().enumerate() {
            views.push(self.seen_as(v, |view| fits(op, i, first, view), late));
        }
        let reads = views.iter().map(|v| v.buffer).collect();
        let out = self.result(e.results[0]);
        let work = Work::Direct(op.clone(), views, out);
        self.push(work, late, reads, vec![out]);
    }

    fn plain(&mut self, e: &Equation, late: bool) {
        let args = e
            .args
            .iter()
            .map(|&v| (self.dense(v, late), self.type_of(v).clone()));
        let args: Vec<(usize, Type)> = args.collect();
        let results = e
            .results
            .iter()
            .map(|&v| (self.result(v), self.type_of(v).clone()));
        let results: Vec<(usize, Type)> = results.collect();
        let reads = args.iter().map(|a| a.0).collect();
        let writes = results.iter().map(|r| r.0).collect();
        self.push(
            Work::Plain(e.op.clone(), args, results),
            late,
            reads,
            writes,
        );
    }

    /// What an operation of a group in `item` reads: a register if the group makes it.
    fn operand(&mut self, v: Var, item: Option<usize>) -> Operand {
        if let Some(value) = self.numbers[v.index()] {
            return Operand::Number(value);
        }
        let view = self.view(v);
        match self.register(&view, item) {
            Some(r) => Operand::Register(r),
            None => Operand::View(view),
        }
    }

    /// The register of a group that a view shows whole.
    fn register(&self, view: &View, item: Option<usize>) -> Option<usize> {
        let Work::Group(group) = &self.items[item?].work else {
            return None;
        };
        let found = group.buffers.iter().position(|&b| b == view.buffer)?;
        let whole =
            view.offset == 0 && view.shape == group.shape && view.strides == row_major(&view.shape);
        whole.then_some(found)
    }

    /// The latest group of a shape that makes one of the arguments and that an operation may join; it may be moved to the end.
    fn group_for(&mut self, args: &[Var], shape: &[usize], late: bool) -> Option<usize> {
        let mut made: Vec<(usize, View)> = Vec::new();
        for &v in args.iter().filter(|v| self.numbers[v.index()].is_none()) {
            let view = self.views[v.index()].clone()?;
            if let Some(maker) = self.buffers[view.buffer].maker {
                made.push((maker, view));
            }
        }
        let mut candidates: Vec<usize> = made.iter().map(|m| m.0).collect();
        candidates.sort_by_key(|&i| std::cmp::Reverse(self.items[i].order));
        candidates.dedup();
        for item in candidates {
            let Work::Group(group) = &self.items[item].work else {
                continue;
            };
            let long = group.code.len() + group.sinks.len() >= LONGEST;
            if group.shape.as_slice() != shape || self.items[item].late != late || long {
                continue;
            }
            // What it makes itself must be a whole register; the rest must be there before.
            let inside =
                |m: &(usize, View)| m.0 != item || self.register(&m.1, Some(item)).is_some();
            if !made.iter().all(inside) {
                continue;
            }
            let order = self.items[item].order;
            let before = |m: &(usize, View)| m.0 == item || self.items[m.0].order < order;
            if made.iter().all(before) {
                return Some(item);
            }
            if !self.items[item].is_read {
                self.items[item].order = self.tick();
                return Some(item);
            }
        }
        None
    }

    fn fuse(&mut self, e: &Equation, code: Code, late: bool) {
        let v = e.results[0];
        let shape = self.type_of(v).shape.clone();
        let item = match self.group_for(&e.args, &shape, late) {
            Some(item) => item,
            None => self.new_group(shape.clone(), late),
        };
        let mut operands = [const { Operand::Number(0.0) }; 3];
        for (o, &arg) in operands.iter_mut().zip(&e.args) {
            *o = self.operand(arg, Some(item));
        }
        self.read_operands(item, &operands);
        let buffer = self.result(v);
        self.buffers[buffer].maker = Some(item);
        let Work::Group(group) = &mut self.items[item].work else {
            unreachable!("a group was chosen");
        };
        group.code.push((code, operands));
        group.buffers.push(buffer);
        self.items[item].writes.push(buffer);
    }

    fn new_group(&mut self, shape: Shape, late: bool) -> usize {
        let group = Group {
            shape,
            code: Vec::new(),
            buffers: Vec::new(),
            sinks: Vec::new(),
        };
        self.push(Work::Group(group), late, Vec::new(), Vec::new())
    }

    fn read_operands(&mut self, item: usize, operands: &[Operand]) {
        for o in operands {
            if let Operand::View(view) = o {
                self.items[item].reads.push(view.buffer);
                self.mark_read(view.buffer, item);
            }
        }
    }

    fn reduce(&mut self, e: &Equation, reduction: Reduction, axes: &Shape, late: bool) {
        let shape = self.type_of(e.args[0]).shape.clone();
        let item = match self.group_for(&e.args, &shape, late) {
            Some(item) => item,
            None => self.new_group(shape, late),
        };
        let source = self.operand(e.args[0], Some(item));
        self.read_operands(item, std::slice::from_ref(&source));
        let buffer = self.result(e.results[0]);
        self.buffers[buffer].maker = Some(item);
        self.buffers[buffer].is_stored = true;
        let Work::Group(group) = &mut self.items[item].work else {
            unreachable!("a group was chosen");
        };
        group.sinks.push(Reduced {
            source,
            reduction,
            axes: axes.clone(),
            buffer,
        });
        self.items[item].writes.push(buffer);
    }

    /// Lets steps write outputs where they make them; what cannot be is copied.
    fn outputs(&mut self) {
        let staged = self.is_staged();
        for (number, &v) in self.program.outputs.iter().enumerate() {
            let view = self.view(v);
            let whole = view.offset == 0 && view.is_dense();
            let buffer = &self.buffers[view.buffer];
            let is_late = buffer.maker.is_some_and(|m| self.items[m].late || !staged);
            if whole
                && is_late
                && buffer.output.is_none()
                && buffer.t.len() == self.type_of(v).len()
            {
                self.buffers[view.buffer].output = Some(number);
                self.buffers[view.buffer].is_stored = true;
            } else {
                let copy = self.copy(&view, staged);
                self.buffers[copy].output = Some(number);
            }
        }
    }
}
