//! Identities that hold for every value: what an equation would compute is already there, or costs less another way.
//!
//! None of them changes which values are NaN: a product with a constant 0 stays, for it may be 0 times infinity.

use super::Graph;
use crate::ops::{Binary, Broadcast, Concat, MatMul, Op, Permute, ReduceSum, Slice, Unary};
use crate::types::{Shape, Type, Var, without};

impl Graph {
    /// The value that an equation would have, if no equation is needed or a simpler one does.
    pub(super) fn simplify(&mut self, op: &Op, args: &[Var], result: &Type) -> Option<Var> {
        match op {
            Op::Unary(f) => self.simplify_unary(*f, args[0]),
            Op::Binary(f) => self.simplify_binary(*f, args[0], args[1]),
            Op::Broadcast(p) => self.simplify_broadcast(p, args[0]),
            Op::Reshape(_) => self.simplify_reshape(args[0], &result.shape),
            Op::Permute(p) => self.simplify_permute(p, args[0]),
            Op::ReduceSum(p) => self.simplify_sum(p, args[0]),
            Op::Pad(p) if p.is_identity() => Some(args[0]),
            Op::Slice(p) if p.is_identity(self.shape(args[0])) => Some(args[0]),
            Op::Slice(p) => self.slice_of_joined(p, args[0]),
            Op::Concat(_) if args.len() == 1 => Some(args[0]),
            Op::Concat(p) => self.simplify_concat(p, args),
            _ => None,
        }
    }

    fn simplify_unary(&mut self, f: Unary, x: Var) -> Option<Var> {
        if let Some(v) = self.filled(x) {
            return Some(self.fill_like(f.apply(v), x));
        }
        let e = self.producer(x)?;
        let twice = f == Unary::Neg && e.op == Op::Unary(Unary::Neg);
        twice.then(|| e.args[0])
    }

    fn simplify_binary(&mut self, f: Binary, a: Var, b: Var) -> Option<Var> {
        use Binary::{Add, Div, Mul, Sub};
        let (u, v) = (self.filled(a), self.filled(b));
        if let (Some(u), Some(v)) = (u, v) {
            return Some(self.fill_like(f.apply(u, v), a));
        }
        let (is_u, is_v) = (|c: f64| u == Some(c), |c: f64| v == Some(c));
        match f {
            Add if is_u(0.0) => Some(b),
            Mul if is_u(1.0) => Some(b),
            Add | Sub if is_v(0.0) => Some(a),
            Mul | Div if is_v(1.0) => Some(a),
            Sub if is_u(0.0) => Some(self.neg(b)),
            Mul if is_u(-1.0) => Some(self.neg(b)),
            Mul | Div if is_v(-1.0) => Some(self.neg(a)),
            Add => self.sum_of_padded(a, b),
            _ => None,
        }
    }

    /// Neighbours that are padded and added are joined and padded: so the cotangents of slices come together.
    fn sum_of_padded(&mut self, a: Var, b: Var) -> Option<Var> {
        let padded = |v: Var| {
            let e = self.producer(v)?;
            match &e.op {
                Op::Pad(p) if p.between.iter().all(|&n| n == 0) => Some((p.clone(), e.args[0])),
                _ => None,
            }
        };
        let (p, x) = padded(a)?;
        let (q, y) = padded(b)?;
        let rank = p.before.len();
        let differs = |i: usize| (p.before[i], p.after[i]) != (q.before[i], q.after[i]);
        let axis = (0..rank).find(|&i| differs(i))?;
        if (axis + 1..rank).any(differs) {
            return None;
        }
        let total = p.before[axis] + self.shape(x)[axis] + p.after[axis];
        let mut parts = self.parts(axis, p.before[axis], x);
        parts.extend(self.parts(axis, q.before[axis], y));
        parts.sort_by_key(|part| part.0);
        let (mut joined, mut end) = (Vec::new(), parts.first()?.0);
        let before = end;
        for (start, v) in parts {
            if start < end {
                return None;
            }
            if start > end {
                let mut gap = Shape::from(self.shape(v));
                gap[axis] = start - end;
                joined.push(self.fill(0.0, &gap));
            }
            joined.push(v);
            end = start + self.shape(v)[axis];
        }
        let joined = self.emit(Concat { axis }, &joined);
        let mut pad = p;
        (pad.before[axis], pad.after[axis]) = (before, total - end);
        Some(self.emit(pad, &[joined]))
    }

    /// What a value is joined from along an axis, with the positions; zeros are left out.
    fn parts(&self, axis: usize, mut start: usize, v: Var) -> Vec<(usize, Var)> {
        let args = match self.producer(v) {
            Some(e) if e.op == Op::Concat(Concat { axis }) => e.args.clone(),
            _ => std::iter::once(v).collect(),
        };
        let place = |&v: &Var| {
            start += self.shape(v)[axis];
            (start - self.shape(v)[axis], v)
        };
        let parts: Vec<(usize, Var)> = args.iter().map(place).collect();
        let is_zero = |v: Var| self.filled(v) == Some(0.0);
        parts.into_iter().filter(|p| !is_zero(p.1)).collect()
    }

    fn simplify_broadcast(&mut self, p: &Broadcast, x: Var) -> Option<Var> {
        if p.shape.len() == p.axes.len() {
            return Some(x);
        }
        if let Some(v) = self.filled(x) {
            return Some(self.fill(v, &p.shape));
        }
        let e = self.producer(x)?;
        let (Op::Broadcast(inner), &[source]) = (&e.op, &e.args[..]) else {
            return None;
        };
        let axes: Shape = inner.axes.iter().map(|&i| p.axes[i]).collect();
        Some(self.broadcast(source, &p.shape, &axes))
    }

    fn simplify_reshape(&mut self, x: Var, shape: &Shape) -> Option<Var> {
        if self.shape(x) == shape.as_slice() {
            return Some(x);
        }
        if let Some(v) = self.filled(x) {
            return Some(self.fill(v, shape));
        }
        let e = self.producer(x)?;
        let (Op::Reshape(_), &[source]) = (&e.op, &e.args[..]) else {
            return None;
        };
        Some(self.reshape(source, shape))
    }

    fn simplify_permute(&mut self, p: &Permute, x: Var) -> Option<Var> {
        if p.axes.iter().enumerate().all(|(i, &axis)| i == axis) {
            return Some(x);
        }
        if let Some(v) = self.filled(x) {
            let shape: Shape = p.axes.iter().map(|&i| self.shape(x)[i]).collect();
            return Some(self.fill(v, &shape));
        }
        let e = self.producer(x)?;
        let (Op::Permute(inner), &[source]) = (&e.op, &e.args[..]) else {
            return None;
        };
        let axes: Shape = p.axes.iter().map(|&i| inner.axes[i]).collect();
        Some(self.permute(source, &axes))
    }

    /// What is joined along the same axis twice is joined at once.
    fn simplify_concat(&mut self, p: &Concat, args: &[Var]) -> Option<Var> {
        let parts = |v: Var| match self.producer(v) {
            Some(e) if e.op == Op::Concat(p.clone()) => e.args.clone(),
            _ => std::iter::once(v).collect(),
        };
        let flat: Vec<Var> = args.iter().flat_map(|&v| parts(v)).collect();
        (flat.len() > args.len()).then(|| self.emit(p.clone(), &flat))
    }

    /// What is cut out of one part of a join is cut out of that part; so the others need not be computed.
    fn slice_of_joined(&mut self, p: &Slice, x: Var) -> Option<Var> {
        let e = self.producer(x)?;
        let &Op::Concat(Concat { axis }) = &e.op else {
            return None;
        };
        if p.steps[axis] != 1 {
            return None;
        }
        let mut start = p.starts[axis];
        let parts = e.args.clone();
        for &part in &parts {
            let len = self.shape(part)[axis];
            if start >= len {
                start -= len;
                continue;
            }
            if start + p.sizes[axis] > len {
                return None;
            }
            let mut of_part = p.clone();
            of_part.starts[axis] = start;
            return Some(self.emit(of_part, &[part]));
        }
        None
    }

    fn simplify_sum(&mut self, p: &ReduceSum, x: Var) -> Option<Var> {
        if p.axes.is_empty() {
            return Some(x);
        }
        let shape = Shape::from(self.shape(x));
        let left = without(&shape, &p.axes);
        let count: usize = p.axes.iter().map(|&i| shape[i]).product();
        if let Some(v) = self.filled(x) {
            return Some(self.fill(v * count as f64, &left));
        }
        if p.axes.iter().all(|&i| shape[i] == 1) {
            return Some(self.reshape(x, &left));
        }
        match &self.producer(x)?.op {
            Op::Broadcast(inner) => {
                let inner = inner.clone();
                Some(self.sum_of_repeated(p, &inner, x))
            }
            Op::MatMul(_) => self.sum_of_products(p, x),
            Op::Binary(Binary::Mul) if left.is_empty() => self.sum_of_squares(x),
            Op::Binary(f @ (Binary::Add | Binary::Sub)) if self.is_of_products(p, x) => {
                let f = *f;
                let args = self.producer(x)?.args.clone();
                let (a, b) = (self.sum(args[0], &p.axes), self.sum(args[1], &p.axes));
                Some(self.emit(f, &[a, b]))
            }
            _ => None,
        }
    }

    /// Whether what is summed is made of matrix products, added up, whose sums are products as well.
    fn is_of_products(&self, p: &ReduceSum, x: Var) -> bool {
        let rank = self.shape(x).len();
        let over_all = p.axes.len() + 2 == rank && p.axes.iter().all(|&i| i < rank - 2);
        match self.producer(x) {
            Some(e) if e.op == Op::MatMul(MatMul) => over_all,
            Some(e) if matches!(e.op, Op::Binary(Binary::Add | Binary::Sub)) => {
                e.args.iter().all(|&a| self.is_of_products(p, a))
            }
            _ => false,
        }
    }

    /// The sum of squares does not depend on the arrangement; that of an outer product is the product of those of its vectors.
    fn sum_of_squares(&mut self, x: Var) -> Option<Var> {
        let &[v, w] = &self.producer(x)?.args[..] else {
            return None;
        };
        let mut source = (v == w).then_some(v)?;
        while let Some(Op::Reshape(_) | Op::Permute(_)) = self.producer(source).map(|e| &e.op) {
            source = self.producer(source)?.args[0];
        }
        let square_sum = |g: &mut Self, v: Var| {
            let axes: Shape = (0..g.shape(v).len()).collect();
            let square = g.mul(v, v);
            g.sum(square, &axes)
        };
        if source != v {
            return Some(square_sum(self, source));
        }
        let e = self.producer(v)?;
        let (Op::MatMul(_), &[a, b]) = (&e.op, &e.args[..]) else {
            return None;
        };
        if self.shape(a).len() != 2 || self.shape(a)[1] != 1 {
            return None;
        }
        let (a, b) = (square_sum(self, a), square_sum(self, b));
        Some(self.mul(a, b))
    }

    /// The sum along axes that were repeated is a multiple; along others it comes before the repetition.
    fn sum_of_repeated(&mut self, p: &ReduceSum, inner: &Broadcast, x: Var) -> Var {
        let source = self.producer(x).map_or(x, |e| e.args[0]);
        let is_repeated = |i: &&usize| !inner.axes.contains(i);
        let repeated = p.axes.iter().filter(is_repeated);
        let count: usize = repeated.map(|&i| inner.shape[i]).product();
        let own = (0..inner.axes.len()).filter(|&i| p.axes.contains(&inner.axes[i]));
        let own: Shape = own.collect();
        let left = (0..inner.shape.len()).filter(|i| !p.axes.contains(i));
        let left: Shape = left.collect();
        let axes = inner
            .axes
            .iter()
            .filter_map(|i| left.iter().position(|l| l == i));
        let axes: Shape = axes.collect();
        let shape: Shape = left.iter().map(|&i| inner.shape[i]).collect();
        let sum = self.sum(source, &own);
        let scaled = self.scale(sum, count as f64);
        self.broadcast(scaled, &shape, &axes)
    }

    /// A sum of matrix products over all of them is one product with a longer inner axis.
    fn sum_of_products(&mut self, p: &ReduceSum, x: Var) -> Option<Var> {
        if !self.is_of_products(p, x) {
            return None;
        }
        let rank = self.shape(x).len();
        let e = self.producer(x)?;
        let (a, b) = (e.args[0], e.args[1]);
        let count: usize = self.shape(a)[..rank - 2].iter().product();
        let (m, k) = (self.shape(a)[rank - 2], self.shape(a)[rank - 1]);
        let n = self.shape(b)[rank - 1];
        let rows_first = std::iter::once(rank - 2)
            .chain(0..rank - 2)
            .chain([rank - 1]);
        let rows_first: Shape = rows_first.collect();
        let rows = self.permute(a, &rows_first);
        let rows = self.reshape(rows, &[m, count * k]);
        let columns = self.reshape(b, &[count * k, n]);
        Some(self.emit(MatMul, &[rows, columns]))
    }
}
