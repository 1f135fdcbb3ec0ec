//! Rows of a sparse matrix: chosen, scaled, with a column of ones.

use crate::kernels::simd::prefetch;
use crate::parallel::{for_each, ranges};
use crate::{Error, ErrorKind, Result, Scalar};
use faer::sparse::{SparseRowMat, SparseRowMatRef, SymbolicSparseRowMat};

/// Rows per task.
const ROWS: usize = 4096;
/// Rows between one that is copied and one that is asked for.
const AHEAD: usize = 16;

/// Columns and values of one sparse row.
#[inline(always)]
pub(crate) fn sparse_row<T>(x: SparseRowMatRef<'_, u32, T>, i: usize) -> (&[u32], &[T]) {
    let range = x.row_range(i);
    (&x.symbolic().col_idx()[range.clone()], &x.val()[range])
}

/// The rows in the order given, which ascends, in the memory of the matrix.
pub(super) fn keep_rows<T: Scalar>(
    x: SparseRowMat<u32, T>,
    rows: &[usize],
) -> SparseRowMat<u32, T> {
    let (symbolic, mut values) = x.into_parts();
    let (_, cols, mut starts, _, mut indices) = symbolic.into_parts();
    let mut kept = 0;
    for (to, i) in rows.iter().enumerate() {
        let range = starts[*i] as usize..starts[i + 1] as usize;
        values.copy_within(range.clone(), kept);
        indices.copy_within(range.clone(), kept);
        starts[to] = kept as u32;
        kept += range.len();
    }
    starts[rows.len()] = kept as u32;
    starts.truncate(rows.len() + 1);
    values.truncate(kept);
    indices.truncate(kept);
    let symbolic = SymbolicSparseRowMat::new_checked(rows.len(), cols, starts, None, indices);
    SparseRowMat::new(symbolic, values)
}

/// A copy with values of another scalar type and room for one more value in each row.
pub(super) fn copied<T: Scalar, U: Scalar>(x: SparseRowMatRef<'_, u32, T>) -> SparseRowMat<u32, U> {
    let (rows, stored) = (x.nrows(), x.val().len());
    let (mut indices, mut values) = (
        Vec::with_capacity(stored + rows),
        Vec::with_capacity(stored + rows),
    );
    indices.extend_from_slice(x.col_idx());
    values.extend(x.val().iter().map(|v| U::of(v.to_f64())));
    let starts = x.row_ptr().to_vec();
    let symbolic = SymbolicSparseRowMat::new_checked(rows, x.ncols(), starts, None, indices);
    SparseRowMat::new(symbolic, values)
}

/// The rows in the order given, with room for one more value in each of them.
pub(super) fn select_rows<T: Scalar>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: &[usize],
) -> SparseRowMat<u32, T> {
    gather(x, rows, None).expect("a selection of rows has fewer than 2^32 values")
}

/// The rows in the order given; with `scale` column j times `scale[j]` and a last column of ones, else with room for it.
///
/// # Errors
/// More than 2³² - 1 values.
pub(super) fn gather<T: Scalar>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: &[usize],
    scale: Option<&[f64]>,
) -> Result<SparseRowMat<u32, T>> {
    let (d, ones) = (x.ncols(), usize::from(scale.is_some()));
    let mut starts = Vec::with_capacity(rows.len() + 1);
    let mut stored = 0;
    starts.push(0);
    for i in rows {
        stored += x.row_range(*i).len() + ones;
        starts.push(u32::try_from(stored).map_err(|_| too_many(rows.len()))?);
    }
    let room = stored + (1 - ones) * rows.len();
    let (mut indices, mut values) = (Vec::with_capacity(room), Vec::with_capacity(room));
    indices.resize(stored, d as u32);
    values.resize(stored, T::of(1.0));
    let (mut left_indices, mut left_values) = (&mut indices[..], &mut values[..]);
    let mut pieces = Vec::new();
    for piece in ranges(rows.len(), ROWS) {
        let len = (starts[piece.end] - starts[piece.start]) as usize;
        let (columns, rest) = left_indices.split_at_mut(len);
        left_indices = rest;
        let (numbers, rest) = left_values.split_at_mut(len);
        left_values = rest;
        pieces.push((&rows[piece], columns, numbers));
    }
    for_each(pieces, |_, (rows, columns, numbers)| {
        let mut at = 0;
        for (place, i) in rows.iter().enumerate() {
            // Rows in any order come from memory one by one unless they are asked for in time.
            if let Some(next) = rows.get(place + AHEAD) {
                let start = x.row_range(*next).start;
                prefetch(x.col_idx().as_ptr().wrapping_add(start));
                prefetch(x.val().as_ptr().wrapping_add(start));
                prefetch(x.val().as_ptr().wrapping_add(start + 64 / size_of::<T>()));
            }
            let (from_columns, from_numbers) = sparse_row(x, *i);
            let to = at..at + from_columns.len();
            columns[to.clone()].copy_from_slice(from_columns);
            let numbers = &mut numbers[to.clone()];
            match scale {
                None => numbers.copy_from_slice(from_numbers),
                Some(scale) => {
                    for ((to, v), j) in numbers.iter_mut().zip(from_numbers).zip(from_columns) {
                        *to = T::of(v.to_f64() * scale[*j as usize]);
                    }
                }
            }
            at = to.end + ones;
        }
    });
    let columns = d + ones;
    let symbolic = SymbolicSparseRowMat::new_checked(rows.len(), columns, starts, None, indices);
    Ok(SparseRowMat::new(symbolic, values))
}

fn too_many(rows: usize) -> Error {
    let message = format!(
        "a sparse matrix with one more value in each of its {rows} rows has more than 2^32 - 1 entries"
    );
    Error::new(ErrorKind::Resource, message)
}

/// Column j times `scale[j]`, without those in `drop`, in place.
pub(super) fn scaled<T: Scalar>(
    x: SparseRowMat<u32, T>,
    scale: &[f64],
    drop: &[bool],
) -> SparseRowMat<u32, T> {
    let (symbolic, mut values) = x.into_parts();
    let (rows, cols, mut starts, _, mut indices) = symbolic.into_parts();
    let (mut kept, mut from) = (0, 0);
    for start in &mut starts[1..] {
        let to = *start as usize;
        for at in from..to {
            let j = indices[at] as usize;
            if !drop[j] {
                let v = T::of(values[at].to_f64() * scale[j]);
                (indices[kept], values[kept]) = (indices[at], v);
                kept += 1;
            }
        }
        from = to;
        *start = kept as u32;
    }
    indices.truncate(kept);
    values.truncate(kept);
    let symbolic = SymbolicSparseRowMat::new_checked(rows, cols, starts, None, indices);
    SparseRowMat::new(symbolic, values)
}

/// Column j times `scale[j]` and a last column of ones, in the memory of the matrix where that can grow.
pub(super) fn with_ones<T: Scalar>(
    x: SparseRowMat<u32, T>,
    scale: &[f64],
) -> Result<SparseRowMat<u32, T>> {
    let (stored, one) = (x.val().len(), T::of(1.0));
    let (symbolic, mut values) = x.into_parts();
    let (rows, d, mut starts, _, mut indices) = symbolic.into_parts();
    if u32::try_from(stored + rows).is_err() {
        return Err(too_many(rows));
    }
    values.reserve_exact(rows);
    values.resize(stored + rows, one);
    indices.reserve_exact(rows);
    indices.resize(stored + rows, d as u32);
    for i in (0..rows).rev() {
        let (from, to) = (starts[i] as usize, starts[i + 1] as usize);
        for at in (from..to).rev() {
            let j = indices[at];
            values[at + i] = T::of(values[at].to_f64() * scale[j as usize]);
            indices[at + i] = j;
        }
        (values[to + i], indices[to + i]) = (one, d as u32);
        starts[i + 1] += i as u32 + 1;
    }
    let symbolic = SymbolicSparseRowMat::new_checked(rows, d + 1, starts, None, indices);
    Ok(SparseRowMat::new(symbolic, values))
}
