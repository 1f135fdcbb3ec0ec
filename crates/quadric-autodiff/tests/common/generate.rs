//! Programs from bytes: what a fuzzer searches, and a random stream samples.
//!
//! Operations are scaled so that values stay small; where two values may be equal but for rounding, comparisons have an offset.

use quadric_autodiff::{Padding, Tensor, Tracer, Windows};

/// Values with more entries are reduced; beyond the second bound a program is not run.
const MANY: usize = 64;
const TOO_MANY: usize = 1 << 13;

/// No value is near it by design.
const OFFSET: f64 = 0.013_7;

/// Decides one thing after another; when the bytes end, always the first.
#[derive(Clone)]
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(first) % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn length(&mut self) -> usize {
        self.of(&[2, 3, 1, 2, 3, 1, 4, 0])
    }

    fn shape(&mut self, ranks: usize) -> Vec<usize> {
        (0..self.below(ranks)).map(|_| self.length()).collect()
    }

    /// A number that nobody would write.
    fn wild(&mut self) -> usize {
        self.of(&[0, 1, 2, 3, 6, 255, usize::MAX, 1 << 63])
    }
}

/// What was generated, beside its values.
pub(crate) struct Generated<'t> {
    pub(crate) values: Vec<Tensor<'t>>,
    /// Derivatives are those of another function.
    pub(crate) detached: bool,
    pub(crate) too_large: bool,
}

struct Builder<'a, 't> {
    choices: Choices<'a>,
    tracer: &'t Tracer,
    values: Vec<Tensor<'t>>,
    detached: bool,
    too_large: bool,
    /// How many more derivatives and scans there may be.
    derivatives: usize,
    scans: usize,
    depth: usize,
}

/// Two inputs, `x0` and `x1`, and up to 12 operations.
pub(crate) fn generate<'t>(tracer: &'t Tracer, bytes: &[u8]) -> Generated<'t> {
    let mut choices = Choices(bytes);
    let inputs = ["x0", "x1"].map(|name| tracer.input(name, choices.shape(4)));
    let mut b = Builder {
        choices,
        tracer,
        values: inputs.to_vec(),
        detached: false,
        too_large: false,
        derivatives: 2,
        scans: 2,
        depth: 0,
    };
    for _ in 0..12 {
        if b.choices.0.is_empty() || b.too_large {
            break;
        }
        b.step();
    }
    Generated {
        values: b.values,
        detached: b.detached,
        too_large: b.too_large,
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n, &m| n.saturating_mul(m))
}

/// The entries of `x` in order under another shape, as often as they are needed.
fn fit<'t>(x: Tensor<'t>, shape: &[usize]) -> Tensor<'t> {
    let (have, want) = (count(&x.shape()), count(shape));
    if have == 0 {
        return x.tracer().fill(0.3, shape.to_vec());
    }
    let copies = want.div_ceil(have);
    let flat = x
        .reshape([have])
        .broadcast_to([copies, have])
        .reshape([copies * have]);
    flat.slice(0, 0..want).reshape(shape.to_vec())
}

impl<'t> Builder<'_, 't> {
    /// One value more.
    fn step(&mut self) {
        let mut a = self.pick();
        if a.shape().is_empty() && !self.choices.one_in(8) {
            a = a.expand(0);
        }
        let value = match self.choices.below(8) {
            0 | 1 => self.elementwise(a),
            2 => self.layout(a),
            3 => self.along(a),
            4 => self.product(a),
            5 => self.piecewise(a),
            6 => self.nested(a),
            _ => self.composite(a),
        };
        self.too_large |= count(&value.shape()) > TOO_MANY;
        let small = count(&value.shape()) <= MANY || self.too_large;
        self.values.push(if small {
            value
        } else {
            fit(value, &[4, 3]) + value.mean_all()
        });
    }

    /// Rather one of the last values.
    fn pick(&mut self) -> Tensor<'t> {
        let n = self.values.len();
        let back = self.choices.below(n);
        self.values[n - 1 - back]
    }

    /// A value that can be combined with `a` entry by entry, almost always.
    fn partner(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let b = self.pick();
        let mut shape = a.shape().to_vec();
        match self.choices.below(16) {
            1 => return b,
            2 => drop(shape.drain(..shape.len().min(1))),
            3 => shape
                .iter_mut()
                .take(1 + self.choices.below(3))
                .for_each(|n| *n = 1),
            _ => {}
        }
        fit(b, &shape)
    }

    /// An axis, almost always one that exists.
    fn axis(&mut self, a: Tensor<'t>) -> isize {
        let rank = a.shape().len();
        let axis = self.choices.below(rank.max(1)) as isize;
        match self.choices.below(32) {
            30 => axis + rank as isize,
            n if n % 2 == 1 && rank > 0 => axis - rank as isize,
            _ => axis,
        }
    }

    fn axes(&mut self, a: Tensor<'t>) -> Vec<isize> {
        let all = 0..a.shape().len() as isize;
        all.filter(|_| self.choices.below(2) == 0).collect()
    }

    fn elementwise(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let positive = |x: Tensor<'t>| x.square() + 0.5;
        match self.choices.below(20) {
            0 => (a + self.partner(a)) * 0.7,
            1 => a - self.partner(a) * 0.5,
            2 => a * self.partner(a) * 0.6,
            3 => a / positive(self.partner(a)),
            4 => -a.tanh(),
            5 => (a * 0.3).exp(),
            6 => a.sin() + self.partner(a).cos(),
            7 => a.sigmoid() * self.partner(a),
            8 => a.softplus() * 0.5,
            9 => positive(a).log(),
            10 => a.square().log1p(),
            11 => positive(a).sqrt(),
            12 => a.erf(),
            13 => {
                let exponent = self.choices.of(&[-1.5, 2.0, 1.0, 0.0, 0.5, -1.0, 3.0]);
                positive(a).powf(exponent) * 0.3
            }
            14 => 1.0 - a,
            15 => 0.5 / positive(a),
            16 => a * self.constant(a),
            17 => self.random(a),
            18 => self.indexed(a),
            _ => a.square() * 0.5,
        }
    }

    fn key(&mut self) -> Tensor<'t> {
        let key = [
            self.choices.below(3) as i32 - 1,
            self.choices.below(3) as i32,
        ];
        self.tracer.index_constant(&key, [2])
    }

    fn random(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let key = self.key();
        match self.choices.below(4) {
            0 => a.dropout(self.choices.of(&[0.5, 0.1, 0.9, 0.0, 1.5]), key),
            1 => a * self.tracer.random(key, a.shape()),
            2 => a + self.tracer.normal(key, a.shape()) * 0.1,
            _ => {
                let keys = self.tracer.index_constant(&[1, 2, 3, 4, 5, 6], [3, 2]);
                let kept = self.tracer.scan(&[a], &[keys], |carry, key| {
                    let next = carry[0].sin() + carry[0].dropout(0.4, key[0]) * 0.3;
                    (vec![next], vec![next])
                });
                kept.1[0]
            }
        }
    }

    /// Indices of rows that exist, rearranged.
    fn indices(&mut self, rows: usize) -> Tensor<'t> {
        let shape = self.choices.shape(3);
        let all = (0..count(&shape)).map(|_| self.choices.below(rows) as i32);
        let all: Vec<i32> = all.collect();
        let i = self.tracer.index_constant(&all, shape.clone());
        match self.choices.below(7) {
            1 => i.permute(&(0..shape.len() as isize).rev().collect::<Vec<_>>()),
            2 if !shape.is_empty() => i.slice(0, shape[0] / 2..shape[0]),
            3 => i.broadcast_to([&[2][..], &shape[..]].concat()),
            4 if !shape.is_empty() => i.concat(&[i.reverse(&[0])], -1),
            5 => i.expand(-1).broadcast_to([&shape[..], &[3]].concat()),
            _ => i,
        }
    }

    /// What depends on indices, in one of several ways.
    fn indexed(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let rows = 1 + self.choices.below(4);
        let (i, j) = (self.indices(rows), self.indices(rows));
        match self.choices.below(4) {
            0 => i.to_float() * a.mean_all(),
            1 => i.one_hot(rows) * a.sum_all(),
            2 => {
                let fits = i.shape() == j.shape();
                let other = if fits { j } else { i.reverse(&[]) };
                i.less(other) + i.less_equal(other) * a.mean_all()
            }
            _ => {
                let table = fit(a, &[2, rows, 2]).permute(&[1, 2, 0]);
                table.gather(i).sin()
            }
        }
    }

    /// Numbers in the shape of `a`.
    fn constant(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let shape = a.shape();
        match self.choices.below(4) {
            0 => self.tracer.fill(self.choices.of(&[0.0, 1.0, -0.7]), shape),
            1 if !shape.is_empty() => self.tracer.iota(shape).to_float() * 0.2,
            _ => {
                let values = (0..count(&shape)).map(|i| (1.0 + 1.3 * i as f64).sin());
                self.tracer.constant(&values.collect::<Vec<_>>(), shape)
            }
        }
    }

    fn piecewise(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let step = |x: Tensor<'t>| (x + OFFSET).sign();
        match self.choices.below(10) {
            0 => a.relu(),
            1 => a.abs(),
            2 => a.maximum(self.partner(a) + OFFSET),
            3 => a.minimum(self.partner(a) + OFFSET),
            4 => step(a) * self.partner(a),
            5 => {
                let (b, c) = (self.partner(a), self.partner(a));
                a.less(b + OFFSET).select(b.sin(), c)
            }
            6 => a.less_equal(self.partner(a) + OFFSET) * a,
            7 => step(a).equal(step(self.partner(a))) * a,
            8 => a.max(&self.axes(a)),
            _ => {
                self.detached = true;
                a.detach() * self.partner(a)
            }
        }
    }

    fn layout(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let shape = a.shape().to_vec();
        match self.choices.below(11) {
            0 => a.broadcast_to([&[self.choices.length()], &shape[..]].concat()),
            1 => {
                let other = self.choices.shape(5);
                fit(a, &other)
            }
            2 => {
                let mut axes: Vec<isize> = (0..shape.len() as isize).collect();
                for i in 1..axes.len() {
                    axes.swap(i, self.choices.below(i + 1));
                }
                a.permute(&axes)
            }
            3 if shape.len() > 1 || self.choices.one_in(8) => a.transpose(),
            4 => {
                let axis = self.axis(a);
                let n = a.dim(axis);
                let start = self.choices.below(n + 1);
                a.slice(axis, start..start + self.choices.below(n - start + 1))
            }
            5 => {
                let (axis, step) = (self.axis(a), 1 + self.choices.below(3));
                let n = a.dim(axis);
                let start = self.choices.below(n.max(1));
                a.slice_steps(axis, start, (n - start.min(n)).div_ceil(step), step)
            }
            6 => {
                let (before, after) = (self.choices.below(4), self.choices.below(3));
                a.pad(self.axis(a), before, after)
            }
            7 => {
                let axis = self.axis(a);
                a.concat(&[self.partner(a), a], axis)
            }
            8 => a.reverse(&self.axes(a)),
            9 => a.expand(self.choices.below(shape.len() + 1) as isize),
            _ => self.raw(a),
        }
    }

    /// Arguments that seldom fit.
    fn raw(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let b = self.pick();
        let c = &mut self.choices;
        let axis = c.below(6) as isize - 3;
        match c.below(10) {
            0 => a.reshape([c.wild(), c.wild()]),
            1 => {
                let start = c.wild();
                a.slice(axis, start..c.wild())
            }
            2 => a.slice_steps(axis, c.wild(), c.wild(), c.wild()),
            3 => a.pad(axis, c.wild(), c.wild()),
            4 => a.permute(&[axis, c.below(3) as isize]),
            5 => a.sum(&[axis, c.below(3) as isize]),
            6 => a.matmul(b),
            7 => a.concat(&[b], axis),
            8 => a.broadcast_to([c.wild(), c.wild()]),
            _ => {
                let indices = self
                    .tracer
                    .index_constant(&[c.below(5) as i32 - 1], [c.below(3)]);
                a.gather(indices)
            }
        }
    }

    fn along(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        match self.choices.below(9) {
            0 => a.sum(&self.axes(a)) * 0.5,
            1 => a.mean(&self.axes(a)),
            2 => a.sum_all() * 0.3,
            3 => a.cumulative_sum(self.axis(a)) * 0.5,
            4 => a.softmax(self.axis(a)),
            5 => a.log_softmax(self.axis(a)) * 0.5,
            6 => a.log_sum_exp(self.axis(a)),
            7 => a.normalize(&self.axes(a), 0.1),
            _ => a - a.mean_all(),
        }
    }

    fn product(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let b = self.pick();
        let c = &mut self.choices;
        let (m, k, n) = (c.length(), c.length(), c.length());
        match c.below(7) {
            0 => fit(a, &[m, k]).matmul(fit(b, &[k, n])) * 0.5,
            1 => {
                let (x, y) = (c.length(), c.of(&[1, 2]));
                fit(a, &[x, 1, m, k]).matmul(fit(b, &[y, k, n])) * 0.5
            }
            2 => fit(a, &[2, m, k]).matmul(fit(b, &[k, n])) * 0.5,
            3 => {
                let x = fit(a, &[m, k]);
                x.transpose().matmul(x) * 0.3
            }
            4 => fit(a, &[m, k]).matmul(fit(b, &[n, k]).transpose()) * 0.5,
            _ => self.convolution(a, b),
        }
    }

    fn windows(&mut self) -> Windows {
        let c = &mut self.choices;
        let pair = |c: &mut Choices<'_>, least: usize, n: usize| -> [usize; 2] {
            std::array::from_fn(|_| least + c.below(n))
        };
        Windows {
            strides: if c.one_in(16) {
                [c.wild(), c.wild()]
            } else {
                pair(c, 1, 3)
            },
            dilation: if c.one_in(16) {
                [c.wild(), c.wild()]
            } else {
                pair(c, 1, 2)
            },
            padding: match c.below(3) {
                0 => Padding::Valid,
                1 => Padding::Same,
                _ if c.one_in(16) => Padding::Zeros([c.wild(), c.wild()], [c.wild(), c.wild()]),
                _ => Padding::Zeros(pair(c, 0, 3), pair(c, 0, 3)),
            },
            groups: if c.one_in(16) {
                c.wild()
            } else {
                c.of(&[1, 1, 2])
            },
        }
    }

    fn convolution(&mut self, a: Tensor<'t>, b: Tensor<'t>) -> Tensor<'t> {
        let windows = self.windows();
        let groups = windows.groups;
        let c = &mut self.choices;
        let (images, height, width) = (c.of(&[1, 2]), 1 + c.below(4), 1 + c.below(4));
        let (inputs, outputs) = (c.of(&[1, 2]), c.of(&[1, 2, 3]));
        let (kh, kw) = (1 + c.below(3), 1 + c.below(3));
        // Where groups are wild the channels do not fit.
        let mixed = groups.min(4);
        let kernel = fit(b, &[kh, kw, inputs, outputs * mixed]);
        fit(a, &[images, height, width, inputs * mixed]).conv2d(kernel, windows) * 0.4
    }

    fn composite(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let size = a.shape().first().copied().unwrap_or(0);
        match self.choices.below(8) {
            0 => a.gelu(),
            1 => a.gelu_tanh(),
            2 => a.silu(),
            3 if size > 0 => {
                let indices = self.indices(size);
                a.gather(indices)
            }
            4 if size > 0 => {
                let logits = fit(a, &[2, size]);
                let labels = [0, 1].map(|_| self.choices.below(size) as i32);
                logits.cross_entropy(self.tracer.index_constant(&labels, [2]))
            }
            5 => {
                let images = fit(a, &[1, 3, 4, 2]);
                let size = [1 + self.choices.below(3), 1 + self.choices.below(3)];
                let mut windows = self.windows();
                // A window in the padding is refused.
                if !self.choices.one_in(8) {
                    (windows.padding, windows.dilation) = (Padding::Same, [1, 1]);
                }
                images.max_pool(size, windows)
            }
            6 => {
                let images = fit(a, &[2, 3, 3, 1]);
                let size = [1 + self.choices.below(3), 1 + self.choices.below(3)];
                images.avg_pool(size, self.windows())
            }
            _ => a.silu() * self.constant(a),
        }
    }

    /// Derivatives and scans inside the program.
    fn nested(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let kind = self.choices.below(6);
        if kind < 3 && self.derivatives > 0 {
            self.derivatives -= 1;
            let wrt = self.pick();
            let (t, loss) = (self.tracer, a.square().sum_all());
            return match kind {
                0 => t.grad(loss, &[wrt])[0] * 0.3,
                1 => t.jvp(&[a], &[wrt], &[wrt.sin()])[0] * 0.5,
                _ => t.vjp(&[a], &[wrt], &[a.cos()])[0] * 0.5,
            };
        }
        if self.scans == 0 || self.depth == 2 {
            return a.sin();
        }
        self.scans -= 1;
        self.scan(a)
    }

    fn scan(&mut self, a: Tensor<'t>) -> Tensor<'t> {
        let (b, second) = (self.pick(), self.choices.below(2) == 1);
        let b = if b.shape().is_empty() { b.expand(0) } else { b };
        let start = a.shape();
        let carries = if second { vec![a, a.cos()] } else { vec![a] };
        let outside = self.values.clone();
        self.depth += 1;
        let (last, stacks) = self.tracer.scan(&carries, &[b], |carry, slice| {
            self.values.extend(slice);
            self.values.extend(carry);
            for _ in 0..1 + self.choices.below(3) {
                self.step();
            }
            let made = self.values[self.values.len() - 1];
            let next = fit(made, &start) * 0.5 + carry[0] * 0.4;
            match second {
                true => (vec![carry[1].sin(), next], vec![made]),
                false => (vec![next], vec![made * next.mean_all(), slice[0]]),
            }
        });
        self.depth -= 1;
        self.values = outside;
        self.values.push(last[0]);
        if self.choices.one_in(2) {
            last[last.len() - 1]
        } else {
            stacks[0]
        }
    }
}
