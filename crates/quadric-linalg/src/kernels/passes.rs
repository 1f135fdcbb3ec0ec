//! The passes over X behind the public functions of [`kernels`](super), generic over the scalar.

use super::plan::{self, Partials};
use super::pool::Buffer;
use super::{Residuals, csr, panel, rows};
use crate::parallel::{by_rows, for_each, ranges, tree_sum};
use crate::{DataMatrix, Scalar};
use faer::{MatMut, MatRef};
use std::ops::Range;

pub(super) fn multiply<T: Scalar>(x: &DataMatrix<T>, v: MatRef<'_, T>, out: &mut [T]) {
    let k = v.ncols();
    if x.stored() == 0 || k == 0 {
        out.fill(T::of(0.0));
        return;
    }
    let v = Packed::new(v);
    let chunks = plan::chunks(x, plan::pieces(x, x.stored() * k, 0));
    for_each(plan::split_rows(&chunks, k, out), |_, (rows, out)| {
        multiply_rows(x, rows, v.values(), k, out);
    });
}

pub(super) fn multiply_rows_of<T: Scalar>(x: &DataMatrix<T>, v: &[T], mut out: MatMut<'_, T>) {
    let k = out.ncols();
    if x.stored() == 0 || k == 0 {
        out.fill(T::of(0.0));
        return;
    }
    let rows = (x.rows() / plan::pieces(x, x.stored() * k, 0)).max(8);
    by_rows(out, 0, rows, &|first, mut out| {
        let rows = first..first + out.nrows();
        let mut products = Buffer::<T>::take(out.nrows() * k);
        multiply_rows(x, rows, v, k, &mut products);
        for c in 0..k {
            for i in 0..out.nrows() {
                out[(i, c)] = products[i * k + c];
            }
        }
    });
}

pub(super) fn multiply_transposed<T: Scalar>(x: &DataMatrix<T>, r: &[T], mut out: MatMut<'_, T>) {
    let k = out.ncols();
    if x.stored() == 0 || k == 0 {
        out.fill(T::of(0.0));
        return;
    }
    let cut = Cut::new(x, k);
    let block = plan::block_rows(x, k);
    let mut partials = cut.partials(x.cols(), k);
    let parts = partials.values.chunks_exact_mut(x.cols() * k);
    let tasks: Vec<_> = cut
        .chunks
        .iter()
        .zip(parts)
        .flat_map(|(rows, part)| {
            part.chunks_mut(x.cols() * cut.group)
                .enumerate()
                .map(|(g, part)| (rows.clone(), g * cut.group, part))
        })
        .collect();
    for_each(tasks, |_, (rows, first, part)| {
        part.fill(0.0);
        let columns = first..first + part.len() / x.cols();
        for piece in ranges(rows.len(), block) {
            let piece = rows.start + piece.start..rows.start + piece.end;
            let r = &r[piece.start * k..piece.end * k];
            if let DataMatrix::Dense(x) = x
                && k > 1
            {
                let d = part.len() / k;
                panel::touch(&x.values()[piece.start * d..piece.end * d]);
            }
            add_transposed(x, piece, r, k, columns.clone(), part);
        }
    });
    partials.sum_into(out);
}

pub(super) fn fused<T: Scalar>(
    x: &DataMatrix<T>,
    transposed: Option<&DataMatrix<T>>,
    v: MatRef<'_, T>,
    products: &mut [T],
    f: &Residuals<'_, T>,
    out: MatMut<'_, T>,
) -> f64 {
    let k = v.ncols();
    let cut = Cut::new(x, k);
    let d = x.cols();
    if x.stored() == 0 || k == 0 || cut.group < k || transposed.is_some() {
        return in_two_passes(x, transposed, v, products, f, out);
    }
    let v = Packed::new(v);
    let block = plan::block_rows(x, k);
    let mut partials = cut.partials(d, k);
    let mut values = vec![0.0; cut.chunks.len()];
    let tasks: Vec<_> = plan::split_rows(&cut.chunks, k, products)
        .into_iter()
        .zip(partials.values.chunks_exact_mut(d * k))
        .zip(&mut values)
        .collect();
    for_each(tasks, |_, (((rows, products), part), value)| {
        part.fill(0.0);
        let mut residuals = Buffer::<T>::take(block.min(rows.len()) * k);
        for piece in ranges(rows.len(), block) {
            let products = &mut products[piece.start * k..piece.end * k];
            let residuals = &mut residuals[..products.len()];
            let piece = rows.start + piece.start..rows.start + piece.end;
            multiply_rows(x, piece.clone(), v.values(), k, products);
            *value += f(piece.clone(), products, residuals);
            add_transposed(x, piece, residuals, k, 0..k, part);
        }
    });
    partials.sum_into(out);
    tree_sum(&values)
}

/// The same as one pass, where there is nothing to gain from one: no stored values, or so wide a sparse matrix that the
/// columns of R have to be worked on apart or a transposed copy stands in.
fn in_two_passes<T: Scalar>(
    x: &DataMatrix<T>,
    transposed: Option<&DataMatrix<T>>,
    v: MatRef<'_, T>,
    products: &mut [T],
    f: &Residuals<'_, T>,
    out: MatMut<'_, T>,
) -> f64 {
    let k = v.ncols();
    multiply(x, v, products);
    let mut residuals = Buffer::<T>::take(products.len());
    let chunks = plan::chunks(x, plan::pieces(x, (x.stored() + x.rows()) * k, 0));
    let mut values = vec![0.0; chunks.len()];
    let tasks: Vec<_> = plan::split_rows(&chunks, k, &mut residuals)
        .into_iter()
        .zip(&mut values)
        .collect();
    let products = &*products;
    for_each(tasks, |_, ((rows, residuals), value)| {
        for piece in ranges(rows.len(), plan::block_rows(x, k)) {
            let residuals = &mut residuals[piece.start * k..piece.end * k];
            let piece = rows.start + piece.start..rows.start + piece.end;
            *value += f(
                piece.clone(),
                &products[piece.start * k..piece.end * k],
                residuals,
            );
        }
    });
    match transposed {
        Some(transposed) => multiply_rows_of(transposed, &residuals, out),
        None => multiply_transposed(x, &residuals, out),
    }
    tree_sum(&values)
}

/// How a sum over rows of a (d, k) block is cut: chunks of rows, and groups of columns.
struct Cut {
    chunks: Vec<Range<usize>>,
    /// Columns in a task.
    group: usize,
    /// Columns that lie together in a partial sum, row after row.
    width: usize,
}

impl Cut {
    fn new<T: Scalar>(x: &DataMatrix<T>, k: usize) -> Self {
        let pieces = plan::pieces(x, x.stored() * k, x.cols() * k);
        let wanted = plan::pieces(x, x.stored() * k, 0).min(16);
        let sparse = matches!(x, DataMatrix::Sparse(_));
        let group = if sparse && pieces < 8 && pieces < wanted {
            k.div_ceil(wanted.div_ceil(pieces))
        } else {
            k
        };
        Self {
            chunks: plan::chunks(x, pieces),
            group: group.max(1),
            // The dense kernel stores its sums transposed.
            width: if sparse { group.max(1) } else { 1 },
        }
    }

    fn partials(&self, d: usize, k: usize) -> Partials {
        Partials {
            values: Buffer::take(self.chunks.len() * d * k),
            count: self.chunks.len(),
            width: self.width,
        }
    }
}

/// Rows that are packed in one task.
const PACKED: usize = 512;

/// A (d, k) block row after row: the caller's memory if it lies so already, else a copy.
enum Packed<'a, T> {
    Borrowed(&'a [T]),
    Copied(Buffer<T>),
}

impl<'a, T: Scalar> Packed<'a, T> {
    fn new(v: MatRef<'a, T>) -> Self {
        let (d, k) = (v.nrows(), v.ncols());
        if k == 1
            && let Some(column) = v.col(0).try_as_col_major()
        {
            return Self::Borrowed(column.as_slice());
        }
        let mut copy = Buffer::take(d * k);
        for_each(copy.chunks_mut(PACKED * k), |piece, copy| {
            let first = piece * PACKED;
            for c in 0..k {
                for j in 0..copy.len() / k {
                    copy[j * k + c] = v[(first + j, c)];
                }
            }
        });
        Self::Copied(copy)
    }

    fn values(&self) -> &[T] {
        match self {
            Self::Borrowed(v) => v,
            Self::Copied(v) => v,
        }
    }
}

/// Some rows of X times `v` (d, k, row after row).
fn multiply_rows<T: Scalar>(
    x: &DataMatrix<T>,
    rows: Range<usize>,
    v: &[T],
    k: usize,
    out: &mut [T],
) {
    match x {
        DataMatrix::Sparse(x) => csr::multiply(x.as_ref(), rows, v, k, out),
        DataMatrix::Dense(x) => {
            let d = v.len() / k;
            let values = &x.values()[rows.start * d..rows.end * d];
            if k == 1 {
                rows::multiply(values, v, out);
            } else {
                panel::multiply(values, v, k, out);
            }
        }
    }
}

/// Adds some rows' share of the columns `columns` of `Xᵀ R` to a partial sum.
fn add_transposed<T: Scalar>(
    x: &DataMatrix<T>,
    rows: Range<usize>,
    r: &[T],
    k: usize,
    columns: Range<usize>,
    sum: &mut [f64],
) {
    match x {
        DataMatrix::Sparse(x) => csr::add_transposed(x.as_ref(), rows, r, k, columns, sum),
        DataMatrix::Dense(x) => {
            let d = x.view().ncols();
            let values = &x.values()[rows.start * d..rows.end * d];
            if k == 1 {
                rows::add_transposed(values, r, sum);
            } else {
                panel::add_transposed(values, r, k, sum);
            }
        }
    }
}
