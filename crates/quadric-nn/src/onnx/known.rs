//! Arrays whose entries are known when a network is traced: constants, shapes, and what follows from them.

/// Entries that a known array may have; what is larger has no place among shapes and indices.
const LARGEST: usize = 1 << 20;

/// Entries that all arrays may have together that nodes make while tracing.
pub(super) const ALLOWANCE: usize = 1 << 22;

/// What went wrong in a node, said without its name.
pub(super) type Answer<V> = std::result::Result<V, String>;

/// What the entries of an array stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Element {
    Float,
    Integer,
    /// True is 1, false is 0.
    Truth,
}

/// The entries of an array.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Numbers {
    Floats(Vec<f64>),
    Integers(Vec<i64>),
    Truths(Vec<bool>),
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(v) => v.len(),
            Self::Integers(v) => v.len(),
            Self::Truths(v) => v.len(),
        }
    }

    pub(super) fn element(&self) -> Element {
        match self {
            Self::Floats(_) => Element::Float,
            Self::Integers(_) => Element::Integer,
            Self::Truths(_) => Element::Truth,
        }
    }

    fn pick(&self, at: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Floats(v) => Self::Floats(at.map(|i| v[i]).collect()),
            Self::Integers(v) => Self::Integers(at.map(|i| v[i]).collect()),
            Self::Truths(v) => Self::Truths(at.map(|i| v[i]).collect()),
        }
    }
}

/// A row-major array.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Known {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Numbers,
}

/// Number of entries of a shape, if positions in it stay below `limit`; an axis without entries does not make the others short.
fn entries(shape: &[usize], limit: usize) -> Option<usize> {
    let extent = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    extent
        .filter(|&n| n <= limit)
        .map(|_| shape.iter().product())
}

/// Number of entries of a shape, if it is not too large to be known.
pub(super) fn small(shape: &[usize]) -> Answer<usize> {
    let found = entries(shape, LARGEST);
    found
        .ok_or_else(|| format!("an array of shape {shape:?} is too large to be known when tracing"))
}

/// Number of entries of a shape, if it has a place in memory.
pub(super) fn possible(shape: &[usize]) -> Answer<usize> {
    let found = entries(shape, isize::MAX as usize / size_of::<f64>());
    found.ok_or_else(|| format!("an array of shape {shape:?} is too large"))
}

/// Steps in memory along the axes of a row-major array.
fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

impl Known {
    pub(super) fn floats(values: Vec<f64>, shape: &[usize]) -> Self {
        Self::new(Numbers::Floats(values), shape)
    }

    pub(super) fn integers(values: Vec<i64>, shape: &[usize]) -> Self {
        Self::new(Numbers::Integers(values), shape)
    }

    pub(super) fn truths(values: Vec<bool>, shape: &[usize]) -> Self {
        Self::new(Numbers::Truths(values), shape)
    }

    /// As many integers as the list has, along one axis.
    pub(super) fn list(values: Vec<i64>) -> Self {
        let n = values.len();
        Self::integers(values, &[n])
    }

    pub(super) fn new(numbers: Numbers, shape: &[usize]) -> Self {
        debug_assert_eq!(numbers.len(), shape.iter().product::<usize>());
        let shape = shape.to_vec();
        Self { shape, numbers }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn element(&self) -> Element {
        self.numbers.element()
    }

    /// The entries as real numbers.
    pub(super) fn to_floats(&self) -> Vec<f64> {
        match &self.numbers {
            Numbers::Floats(v) => v.clone(),
            Numbers::Integers(v) => v.iter().map(|&i| i as f64).collect(),
            Numbers::Truths(v) => v.iter().map(|&b| f64::from(u8::from(b))).collect(),
        }
    }

    /// The entries as integers, if they are integers or truth values.
    pub(super) fn to_integers(&self) -> Answer<Vec<i64>> {
        match &self.numbers {
            Numbers::Floats(_) => Err("takes integers, not real numbers".to_owned()),
            Numbers::Integers(v) => Ok(v.clone()),
            Numbers::Truths(v) => Ok(v.iter().map(|&b| i64::from(b)).collect()),
        }
    }

    /// True where the entries are not zero.
    pub(super) fn to_truths(&self) -> Vec<bool> {
        match &self.numbers {
            Numbers::Floats(v) => v.iter().map(|&v| v != 0.0).collect(),
            Numbers::Integers(v) => v.iter().map(|&v| v != 0).collect(),
            Numbers::Truths(v) => v.clone(),
        }
    }

    /// The entries at the positions that start at `start` and are `strides` apart along the axes of `shape`.
    fn view(&self, start: isize, shape: &[usize], strides: &[isize]) -> Answer<Self> {
        let size = small(shape)?;
        let own = row_major(shape);
        let position = |i: usize| {
            let along = (0..shape.len()).map(|a| (i / own[a] as usize % shape[a]) as isize);
            let offset: isize = along.zip(strides).map(|(at, stride)| at * stride).sum();
            (start + offset) as usize
        };
        Ok(Self::new(self.numbers.pick((0..size).map(position)), shape))
    }

    pub(super) fn reshape(&self, shape: &[usize]) -> Self {
        Self::new(self.numbers.clone(), shape)
    }

    /// Axis i of the result is axis `axes[i]`.
    pub(super) fn permute(&self, axes: &[usize]) -> Answer<Self> {
        let strides = row_major(&self.shape);
        let shape: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        let strides: Vec<isize> = axes.iter().map(|&a| strides[a]).collect();
        self.view(0, &shape, &strides)
    }

    /// `size` entries along an axis, from `start` on, `step` apart.
    pub(super) fn slice(
        &self,
        axis: usize,
        start: usize,
        size: usize,
        step: isize,
    ) -> Answer<Self> {
        let mut strides = row_major(&self.shape);
        let mut shape = self.shape.clone();
        shape[axis] = size;
        let first = start as isize * strides[axis];
        // Between fewer than two entries there is no step.
        strides[axis] *= if size < 2 { 1 } else { step };
        self.view(first, &shape, &strides)
    }

    /// Repeats along axes that are missing in front or have length 1; the shapes fit.
    pub(super) fn broadcast(&self, shape: &[usize]) -> Answer<Self> {
        let front = shape.len() - self.shape.len();
        let own = row_major(&self.shape);
        let stride = |axis: usize| match axis.checked_sub(front) {
            Some(a) if self.shape[a] == shape[axis] => own[a],
            _ => 0,
        };
        let strides: Vec<isize> = (0..shape.len()).map(stride).collect();
        self.view(0, shape, &strides)
    }

    /// Arrays of the same element, one after another along an axis; the other axes fit.
    pub(super) fn concat(parts: &[&Self], axis: usize) -> Answer<Self> {
        let first = parts[0];
        let mut shape = first.shape.clone();
        shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
        small(&shape)?;
        let mut numbers = match first.numbers {
            Numbers::Floats(_) => Numbers::Floats(Vec::new()),
            Numbers::Integers(_) => Numbers::Integers(Vec::new()),
            Numbers::Truths(_) => Numbers::Truths(Vec::new()),
        };
        let outer: usize = first.shape[..axis].iter().product();
        for o in 0..outer {
            for part in parts {
                let block: usize = part.shape[axis..].iter().product();
                let range = o * block..(o + 1) * block;
                match (&mut numbers, &part.numbers) {
                    (Numbers::Floats(to), Numbers::Floats(v)) => to.extend_from_slice(&v[range]),
                    (Numbers::Integers(to), Numbers::Integers(v)) => {
                        to.extend_from_slice(&v[range]);
                    }
                    (Numbers::Truths(to), Numbers::Truths(v)) => to.extend_from_slice(&v[range]),
                    _ => return Err("arrays of different types cannot be joined".to_owned()),
                }
            }
        }
        Ok(Self::new(numbers, &shape))
    }

    /// The entries along an axis that `rows` name.
    pub(super) fn take(&self, axis: usize, rows: &[usize]) -> Answer<Self> {
        let mut shape = self.shape.clone();
        shape[axis] = rows.len();
        let size = small(&shape)?;
        let inner: usize = self.shape[axis + 1..].iter().product();
        let position = |i: usize| {
            let (outer, rest) = (i / (rows.len() * inner), i % (rows.len() * inner));
            (outer * self.shape[axis] + rows[rest / inner]) * inner + rest % inner
        };
        Ok(Self::new(
            self.numbers.pick((0..size).map(position)),
            &shape,
        ))
    }
}
