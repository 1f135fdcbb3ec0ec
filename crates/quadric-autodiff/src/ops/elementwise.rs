//! Functions of one entry at a time. All arguments have the same shape; the tracer repeats what has fewer axes.

use super::{Primitive, Site, Tangents, Types, all_batched, arity, floats, one, single};
use crate::array::{Array, Data, Operand};
use crate::graph::{Graph, Vars};
use crate::types::{Kind, Type, Var};
use quadric_linalg::{Scalar, math};

/// A function of one number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Unary {
    Neg,
    Abs,
    /// -1, 0 or 1; NaN stays.
    Sign,
    Exp,
    Log,
    /// log(1 + x)
    Log1p,
    Sqrt,
    Sin,
    Cos,
    Tanh,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// log(1 + exp(x))
    Softplus,
    Erf,
    /// x to a constant power, given by the bits of an `f64`.
    Power(u64),
    /// The value, without its derivatives.
    Detach,
}

impl Unary {
    pub(crate) fn power(exponent: f64) -> Self {
        Self::Power(exponent.to_bits())
    }

    /// The function, in double precision.
    pub(crate) fn apply(self, x: f64) -> f64 {
        match self {
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Log1p => x.ln_1p(),
            Self::Sqrt => x.sqrt(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => math::sigmoid(x),
            Self::Softplus => math::softplus(x),
            Self::Erf => libm::erf(x),
            Self::Power(bits) => x.powf(f64::from_bits(bits)),
            Self::Detach => x,
        }
    }

    /// The derivative at x, where the function is y; none where it is zero.
    fn slope(self, g: &mut Graph, x: Var, y: Var) -> Option<Var> {
        Some(match self {
            Self::Neg => g.fill_like(-1.0, x),
            Self::Abs => g.unary(Self::Sign, x),
            Self::Sign | Self::Detach => return None,
            Self::Exp => y,
            Self::Log => {
                let one = g.fill_like(1.0, x);
                g.div(one, x)
            }
            Self::Log1p => {
                let one = g.fill_like(1.0, x);
                let denominator = g.add(one, x);
                g.div(one, denominator)
            }
            Self::Sqrt => {
                let half = g.fill_like(0.5, x);
                g.div(half, y)
            }
            Self::Sin => g.unary(Self::Cos, x),
            Self::Cos => {
                let sine = g.unary(Self::Sin, x);
                g.neg(sine)
            }
            Self::Tanh => {
                let (one, square) = (g.fill_like(1.0, x), g.mul(y, y));
                g.sub(one, square)
            }
            Self::Sigmoid => {
                let one = g.fill_like(1.0, x);
                let rest = g.sub(one, y);
                g.mul(y, rest)
            }
            Self::Softplus => g.unary(Self::Sigmoid, x),
            Self::Erf => {
                let square = g.mul(x, x);
                let minus = g.neg(square);
                let density = g.unary(Self::Exp, minus);
                g.scale(density, std::f64::consts::FRAC_2_SQRT_PI)
            }
            Self::Power(bits) => {
                let exponent = f64::from_bits(bits);
                if exponent == 0.0 {
                    return None;
                }
                let lower = match exponent - 1.0 {
                    0.0 => g.fill_like(1.0, x),
                    1.0 => x,
                    e => g.unary(Self::power(e), x),
                };
                g.scale(lower, exponent)
            }
        })
    }
}

impl Primitive for Unary {
    fn name(&self) -> &'static str {
        match self {
            Self::Neg => "neg",
            Self::Abs => "abs",
            Self::Sign => "sign",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Log1p => "log1p",
            Self::Sqrt => "sqrt",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Erf => "erf",
            Self::Power(_) => "power",
            Self::Detach => "detach",
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [x] = arity(args)?;
        single(x)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Vec<Array<T>> {
        let x = args[0].floats().iter();
        vec![Array::Float(
            x.map(|v| T::of(self.apply(v.to_f64()))).collect(),
        )]
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let Some(t) = tangents[0] else {
            return one(None);
        };
        let slope = self.slope(g, site.args[0], site.results[0]);
        one(slope.map(|s| g.mul(s, t)))
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        match self {
            Self::Neg => one(cotangents[0].map(|c| site.graph.neg(c))),
            _ => unreachable!("{} is not linear", self.name()),
        }
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.unary(*self, site.args[0])).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// A function of two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    /// The larger; NaN if either is. At a tie each argument gets half of the derivative.
    Max,
    /// The smaller; NaN if either is. At a tie each argument gets half of the derivative.
    Min,
}

impl Binary {
    /// The function, in double precision.
    pub(crate) fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max | Self::Min if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }

    /// 1 where `a` is the result, 0 where `b` is, 1/2 where both are.
    fn share(self, g: &mut Graph, a: Var, b: Var) -> Var {
        let (lower, upper) = if self == Self::Max { (b, a) } else { (a, b) };
        let (one, half) = (g.fill_like(1.0, a), g.fill_like(0.5, a));
        let zero = g.fill_like(0.0, a);
        let tie = g.emit(Compare::Equal, &[a, b]);
        let wins = g.emit(Compare::Less, &[lower, upper]);
        let rest = g.emit(Select, &[wins, one, zero]);
        g.emit(Select, &[tie, half, rest])
    }
}

impl Primitive for Binary {
    fn name(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [a, b] = arity(args)?;
        if a != b {
            return Err(format!(
                "shapes {:?} and {:?} differ",
                &a.shape[..],
                &b.shape[..]
            ));
        }
        single(a)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Vec<Array<T>> {
        let pairs = args[0].floats().iter().zip(args[1].floats());
        let results = pairs.map(|(a, b)| T::of(self.apply(a.to_f64(), b.to_f64())));
        vec![Array::Float(results.collect())]
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let (a, b) = (site.args[0], site.args[1]);
        let (da, db) = (tangents[0], tangents[1]);
        one(match self {
            Self::Add => g.add_any(da, db),
            Self::Sub => match (da, db) {
                (Some(da), Some(db)) => Some(g.sub(da, db)),
                (da, db) => da.or_else(|| db.map(|db| g.neg(db))),
            },
            Self::Mul => {
                let (u, v) = (da.map(|t| g.mul(t, b)), db.map(|t| g.mul(a, t)));
                g.add_any(u, v)
            }
            Self::Div => {
                let falls = db.map(|t| g.mul(site.results[0], t));
                let top = match (da, falls) {
                    (Some(da), Some(f)) => Some(g.sub(da, f)),
                    (da, f) => da.or_else(|| f.map(|f| g.neg(f))),
                };
                top.map(|t| g.div(t, b))
            }
            Self::Max | Self::Min => {
                let share = self.share(g, a, b);
                let ones = g.fill_like(1.0, a);
                let rest = g.sub(ones, share);
                let (u, v) = (da.map(|t| g.mul(share, t)), db.map(|t| g.mul(rest, t)));
                g.add_any(u, v)
            }
        })
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let g = &mut *site.graph;
        let (a, b) = (site.args[0], site.args[1]);
        let Some(c) = cotangents[0] else {
            return [None, None].into_iter().collect();
        };
        let (ca, cb) = match self {
            Self::Add => (Some(c), Some(c)),
            Self::Sub => (Some(c), linear[1].then(|| g.neg(c))),
            Self::Mul if linear[0] => (Some(g.mul(c, b)), None),
            Self::Mul => (None, Some(g.mul(a, c))),
            Self::Div => (Some(g.div(c, b)), None),
            Self::Max | Self::Min => unreachable!("{} is not linear", self.name()),
        };
        [ca.filter(|_| linear[0]), cb.filter(|_| linear[1])]
            .into_iter()
            .collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let args = all_batched(site, batched, size);
        std::iter::once(site.graph.emit(*self, &args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// 1 where a relation between two numbers or two indices holds, else 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Compare {
    Equal,
    Less,
    LessEqual,
}

impl Compare {
    pub(crate) fn holds<E: PartialOrd>(self, a: &E, b: &E) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Less => a < b,
            Self::LessEqual => a <= b,
        }
    }
}

impl Primitive for Compare {
    fn name(&self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Less => "less",
            Self::LessEqual => "less_equal",
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [a, b] = arity(args)?;
        if a != b {
            return Err(format!("cannot compare {a} with {b}"));
        }
        single(Type::float(a.shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Vec<Array<T>> {
        let number = |holds: bool| T::of(f64::from(u8::from(holds)));
        let results = match (args[0].data, args[1].data) {
            (Data::Float(a), Data::Float(b)) => a
                .iter()
                .zip(b)
                .map(|(a, b)| number(self.holds(a, b)))
                .collect(),
            (Data::Index(a), Data::Index(b)) => a
                .iter()
                .zip(b)
                .map(|(a, b)| number(self.holds(a, b)))
                .collect(),
            _ => unreachable!("type inference compares like with like"),
        };
        vec![Array::Float(results)]
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("{} is not linear", self.name())
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let args = all_batched(site, batched, size);
        std::iter::once(site.graph.emit(*self, &args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// The second argument where the first is not zero, else the third.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Select;

impl Primitive for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [mask, a, b] = arity(args)?;
        if mask != a || a != b {
            let shapes = [&mask, &a, &b].map(|t| t.shape.to_vec());
            return Err(format!("shapes {shapes:?} differ"));
        }
        single(a)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Vec<Array<T>> {
        let [mask, a, b] = [0, 1, 2].map(|i| args[i].floats());
        let choose = |i: usize| if mask[i].to_f64() != 0.0 { a[i] } else { b[i] };
        vec![Array::Float((0..mask.len()).map(choose).collect())]
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let mask = site.args[0];
        one(match (tangents[1], tangents[2]) {
            (None, None) => None,
            (a, b) => {
                let (a, b) = (g.or_zeros(a, mask), g.or_zeros(b, mask));
                Some(g.emit(Select, &[mask, a, b]))
            }
        })
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let (g, mask) = (&mut *site.graph, site.args[0]);
        let Some(c) = cotangents[0] else {
            return [None; 3].into_iter().collect();
        };
        let zero = g.fill_like(0.0, c);
        let a = linear[1].then(|| g.emit(Select, &[mask, c, zero]));
        let b = linear[2].then(|| g.emit(Select, &[mask, zero, c]));
        [None, a, b].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let args = all_batched(site, batched, size);
        std::iter::once(site.graph.emit(Select, &args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// Indices as real numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Real;

impl Primitive for Real {
    fn name(&self) -> &'static str {
        "real"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        if x.kind != Kind::Index {
            return Err(format!("takes indices, not {x}"));
        }
        single(Type::float(x.shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Vec<Array<T>> {
        let x = args[0].indices().iter();
        vec![Array::Float(x.map(|&v| T::of(f64::from(v))).collect())]
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("indices carry no cotangents")
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.emit(Real, site.args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}
