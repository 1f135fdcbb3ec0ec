//! Programs run as they read: every equation by the plain evaluation of its primitive. This is the referee of the executor.

use crate::array::{Array, Data, Operand};
use crate::ops::{Evaluated, Primitive};
use crate::program::Program;
use crate::types::Var;
use quadric_linalg::Scalar;
use std::ops::Range;

/// The outputs of a program, or what is wrong with the entries of its inputs.
pub(crate) fn run<T: Scalar>(program: &Program, inputs: Vec<Array<T>>) -> Evaluated<T> {
    let mut values: Vec<Option<Array<T>>> = program.types.iter().map(|_| None).collect();
    for (input, value) in program.inputs.iter().zip(inputs) {
        values[input.var.index()] = Some(value);
    }
    let get = |values: &[Option<Array<T>>], v: Var| -> Array<T> {
        values[v.index()].clone().expect("equations are in order")
    };
    for e in &program.equations {
        let args: Vec<Operand<'_, T>> = e
            .args
            .iter()
            .map(|v| Operand {
                shape: &program.types[v.index()].shape,
                data: values[v.index()]
                    .as_ref()
                    .expect("equations are in order")
                    .data(),
            })
            .collect();
        let types: Vec<_> = e
            .results
            .iter()
            .map(|v| program.types[v.index()].clone())
            .collect();
        let results = e.op.eval(&args, &types)?;
        for (v, value) in e.results.iter().zip(results) {
            values[v.index()] = Some(value);
        }
    }
    Ok(program.outputs.iter().map(|&v| get(&values, v)).collect())
}

/// The entries as a value of their own.
pub(crate) fn copy<T: Scalar>(data: Data<'_, T>) -> Array<T> {
    slice(data, 0..data.len())
}

/// Some of the entries as a value of their own.
pub(crate) fn slice<T: Scalar>(data: Data<'_, T>, range: Range<usize>) -> Array<T> {
    match data {
        Data::Float(v) => Array::Float(v[range].to_vec()),
        Data::Index(v) => Array::Index(v[range].to_vec()),
    }
}

/// Adds a value to a sum.
pub(crate) fn accumulate<T: Scalar>(sum: &mut Array<T>, value: &Array<T>) {
    let (Array::Float(sum), Array::Float(value)) = (sum, value) else {
        unreachable!("only real numbers are summed");
    };
    for (s, v) in sum.iter_mut().zip(value) {
        *s = T::of(s.to_f64() + v.to_f64());
    }
}

/// Stores a value as slice `at` of a stack.
pub(crate) fn store<T: Scalar>(stack: &mut Array<T>, value: &Array<T>, at: usize) {
    match (stack, value) {
        (Array::Float(stack), Array::Float(v)) => {
            stack[at * v.len()..][..v.len()].copy_from_slice(v);
        }
        (Array::Index(stack), Array::Index(v)) => {
            stack[at * v.len()..][..v.len()].copy_from_slice(v);
        }
        _ => unreachable!("a stack has the kind of its slices"),
    }
}
