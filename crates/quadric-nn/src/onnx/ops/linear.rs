//! Products of matrices, and of whatever letters name.

use super::super::known::Answer;
use super::super::site::Site;
use super::super::value::signed;
use super::layout::count;
use super::{Entry, Results, entry, one};
use crate::Weighted;
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("Gemm", &["alpha", "beta", "transA", "transB"], gemm),
    entry("MatMul", &[], matmul),
    entry("Einsum", &["equation"], einsum),
];

fn gemm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let matrix = |i: usize, flipped: &str| {
        let x = s.floats(i)?;
        if x.shape().len() != 2 {
            return Err(format!(
                "input {i} of shape {:?} is no matrix",
                &x.shape()[..]
            ));
        }
        Ok(if s.flag(flipped, false)? {
            x.transpose()
        } else {
            x
        })
    };
    let (a, alpha) = (matrix(0, "transA")?, s.float("alpha", 1.0)?);
    let beta = s.float("beta", 1.0)?;
    let product = a.matmul(matrix(1, "transB")?) * alpha;
    let (columns, turned) = (product.dim(1), s.flag("transB", false)?);
    let bias = s.used_bias(2, columns).filter(|_| beta == 1.0);
    let product = tap(s, turned, bias, a * alpha, product);
    match s.optional_floats(2)? {
        None => one(product),
        Some(c) => one(product + (c * beta).broadcast_to(product.shape())),
    }
}

/// Tells of a product with a matrix that is a parameter, as input 1 or `turned`.
fn tap<'t>(
    s: &Site<'_, 't>,
    turned: bool,
    bias: Option<&str>,
    inputs: Tensor<'t>,
    product: Tensor<'t>,
) -> Tensor<'t> {
    match s.used(1) {
        Some(used) if used.shape.len() == 2 => {
            let layer = Weighted {
                weight: used.name,
                transposed: used.exchanged != turned,
                bias,
            };
            s.scope.tap(layer, || inputs, product)
        }
        _ => product,
    }
}

fn matmul<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (a, b) = (s.floats(0)?, s.floats(1)?);
    let (is_row, is_column) = (a.shape().len() == 1, b.shape().len() == 1);
    if a.shape().is_empty() || b.shape().is_empty() {
        return Err("takes no single numbers".to_owned());
    }
    let a = if is_row { a.expand(0) } else { a };
    let b = if is_column { b.expand(-1) } else { b };
    let product = a.matmul(b);
    let bias = s.bias_behind(product.dim(-1));
    let product = tap(s, false, bias, a, product);
    let mut shape = product.shape();
    if is_column {
        shape.pop();
    }
    if is_row {
        shape.remove(shape.len() - if is_column { 1 } else { 2 });
    }
    one(product.reshape(shape))
}

/// A tensor whose axes have letters.
struct Lettered<'t> {
    tensor: Tensor<'t>,
    letters: Vec<char>,
}

impl<'t> Lettered<'t> {
    /// Of letters that name two axes the diagonal.
    fn new(tensor: Tensor<'t>, letters: Vec<char>) -> Answer<Self> {
        let (mut tensor, mut letters) = (tensor, letters);
        let twice = |l: &[char]| {
            (1..l.len()).find_map(|j| Some((l[..j].iter().position(|o| *o == l[j])?, j)))
        };
        while let Some((i, j)) = twice(&letters) {
            let shape = tensor.shape();
            if shape[i] != shape[j] {
                return Err(format!(
                    "axis `{}` has the lengths {} and {}",
                    letters[i], shape[i], shape[j]
                ));
            }
            let t = tensor.tracer();
            let mut across = vec![1; shape.len()];
            across[i] = shape[i];
            let row = t
                .iota([shape[i]])
                .reshape(across.iter().copied())
                .broadcast_to(shape.clone());
            across.swap(i, j);
            let column = t.iota([shape[i]]).reshape(across).broadcast_to(shape);
            let diagonal = row.equal(column).select(tensor, tensor.fill_like(0.0));
            tensor = diagonal.sum(&[j as isize]);
            letters.remove(j);
        }
        Ok(Self { tensor, letters })
    }

    fn length(&self, letter: char) -> Option<usize> {
        let at = self.letters.iter().position(|&l| l == letter)?;
        Some(self.tensor.shape()[at])
    }

    /// The axes in the order of `letters`; those that are missing have length 1.
    fn arranged(&self, letters: &[char]) -> Tensor<'t> {
        let place = |l: &char| self.letters.iter().position(|o| o == l);
        let order: Vec<usize> = letters.iter().filter_map(place).collect();
        let shape = letters.iter().map(|&l| self.length(l).unwrap_or(1));
        self.tensor
            .permute(&signed(&order))
            .reshape(shape.collect::<Vec<_>>())
    }

    /// Sums over the axes whose letters are not kept.
    fn keep(self, kept: impl Fn(char) -> bool) -> Self {
        let (letters, gone): (Vec<_>, Vec<_>) = self
            .letters
            .iter()
            .enumerate()
            .partition(|(_, l)| kept(**l));
        let gone: Vec<usize> = gone.into_iter().map(|(i, _)| i).collect();
        Self {
            tensor: if gone.is_empty() {
                self.tensor
            } else {
                self.tensor.sum(&signed(&gone))
            },
            letters: letters.into_iter().map(|(_, l)| *l).collect(),
        }
    }

    /// The product, summed over the letters that are not kept.
    fn times(&self, other: &Self, kept: impl Fn(char) -> bool) -> Answer<Self> {
        let both = |l: &char| other.letters.contains(l);
        let own = self.letters.iter().copied();
        let common: Vec<char> = own.clone().filter(|l| both(l) && kept(*l)).collect();
        let summed: Vec<char> = own.clone().filter(|l| both(l) && !kept(*l)).collect();
        let left: Vec<char> = own.filter(|l| !both(l)).collect();
        let not_own = |l: &char| !self.letters.contains(l);
        let right: Vec<char> = other.letters.iter().copied().filter(not_own).collect();
        let length = |l: char| self.length(l).max(other.length(l)).unwrap_or(1);
        for &l in common.iter().chain(&summed) {
            let (m, n) = (self.length(l), other.length(l));
            if m != n && m != Some(1) && n != Some(1) {
                return Err(format!("axis `{l}` has the lengths {m:?} and {n:?}"));
            }
        }
        let sizes = |letters: &[char]| letters.iter().map(|&l| length(l)).collect::<Vec<_>>();
        let matrices = |x: &Self, order: [&[char]; 3], parts: [usize; 2]| {
            let letters = order.concat();
            let wide = x.arranged(&letters).broadcast_to(sizes(&letters));
            let front = sizes(&common);
            wide.reshape(front.into_iter().chain(parts))
        };
        let [m, k, n] = [&left, &summed, &right].map(|l| count(&sizes(l)));
        let a = matrices(self, [&common, &left, &summed], [m, k]);
        let b = matrices(other, [&common, &summed, &right], [k, n]);
        let letters = [common, left, right].concat();
        let tensor = a.matmul(b).reshape(sizes(&letters));
        Ok(Self { tensor, letters })
    }
}

/// Letters of the axes of a term; those under `...` get capital letters of their own, counted from the last.
fn letters(term: &str, rank: usize) -> Answer<Vec<char>> {
    let wrong = || format!("`{term}` does not name {rank} axes");
    let named = |part: &str| {
        part.chars()
            .filter(|c| !c.is_whitespace())
            .collect::<Vec<char>>()
    };
    let all = match term.split_once("...") {
        None => named(term),
        Some((before, after)) => {
            let (before, after) = (named(before), named(after));
            let covered = rank
                .checked_sub(before.len() + after.len())
                .ok_or_else(wrong)?;
            // No letter of an equation is among these.
            let covered = (0..covered as u32)
                .rev()
                .map(|i| char::from_u32(0x2460 + i));
            let covered: Option<Vec<char>> = covered.collect();
            [before, covered.ok_or_else(wrong)?, after].concat()
        }
    };
    if all.len() != rank || rank > 64 {
        return Err(wrong());
    }
    Ok(all)
}

fn einsum<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let equation = s.text("equation", "")?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != s.inputs.len() {
        return Err(format!(
            "`{equation}` does not have {} terms",
            s.inputs.len()
        ));
    }
    let mut operands = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let tensor = s.floats(i)?;
        let letters = letters(term, tensor.shape().len())?;
        operands.push(Lettered::new(tensor, letters)?);
    }
    let covered = |c: &char| ('\u{2460}'..'\u{24ff}').contains(c);
    let mut every: Vec<char> = operands.iter().flat_map(|o| o.letters.clone()).collect();
    every.sort_unstable();
    let mut hidden: Vec<char> = every.iter().copied().filter(covered).collect();
    hidden.dedup();
    hidden.reverse();
    let output = match right {
        Some(right) => {
            let plain = right
                .chars()
                .filter(|c| !c.is_whitespace() && *c != '.')
                .count();
            let rank = plain
                + if right.contains("...") {
                    hidden.len()
                } else {
                    0
                };
            letters(right, rank)?
        }
        None => {
            let once = |c: &&char| !covered(c) && every.iter().filter(|o| o == c).count() == 1;
            let once: Vec<char> = every.iter().filter(once).copied().collect();
            [hidden, once].concat()
        }
    };
    if (1..output.len()).any(|i| output[..i].contains(&output[i])) {
        return Err(format!("the result of `{equation}` names an axis twice"));
    }
    if let Some(l) = output.iter().find(|l| !every.contains(l)) {
        return Err(format!(
            "no term of `{equation}` has the axis `{l}` of the result"
        ));
    }
    let layer = is_layer(&operands, &output);
    let product = contract(operands, &output)?;
    one(match layer {
        false => product,
        true => tap(
            s,
            false,
            s.bias_behind(product.dim(-1)),
            s.floats(0)?,
            product,
        ),
    })
}

/// Whether the last axis of the first of two terms, and only that, is multiplied with the first axis of a matrix.
fn is_layer(operands: &[Lettered<'_>], output: &[char]) -> bool {
    let [x, w] = operands else { return false };
    match (&x.letters[..], &w.letters[..]) {
        ([rows @ .., inner], [first, outer]) => {
            inner == first && !rows.contains(inner) && output == [rows, &[*outer]].concat()
        }
        _ => false,
    }
}

/// The product of all operands, summed over what the output does not have.
fn contract<'t>(operands: Vec<Lettered<'t>>, output: &[char]) -> Answer<Tensor<'t>> {
    let mut rest: std::collections::VecDeque<Lettered<'t>> = operands.into();
    let first = rest.pop_front().ok_or("there are no terms")?;
    let later = |rest: &std::collections::VecDeque<Lettered<'t>>, l: char| {
        output.contains(&l) || rest.iter().any(|o| o.letters.contains(&l))
    };
    let mut total = first.keep(|l| later(&rest, l));
    while let Some(next) = rest.pop_front() {
        let next = next.keep(|l| later(&rest, l) || total.letters.contains(&l));
        total = total.times(&next, |l| later(&rest, l))?;
    }
    Ok(total.arranged(output))
}
