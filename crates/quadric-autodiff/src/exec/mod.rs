//! Programs compiled for their shapes: loops instead of element-wise operations, views instead of rearrangements, buffers that
//! are shared by values that do not live at the same time.
//!
//! What does not depend on the directions of a linearised program is computed by [`Executable::prepare`], once for a point;
//! [`Prepared::apply`] does the rest. Results have the same bits for any number of threads.

mod assemble;
mod convolve;
mod direct;
mod fused;
mod lower;
mod memory;
mod product;
mod repeat;
mod storage;
mod view;

use crate::array::{Array, Data, Operand};
use crate::ops::{Op, Primitive};
use crate::program::Program;
use crate::transform::{self, Again, Limits};
use crate::types::{Kind, Shape, Type};
use assemble::Assemble;
use convolve::Convolve;
use direct::Direct;
use fused::Loop;
use memory::{Memory, Place, Slot};
use product::Product;
use quadric_linalg::{Aligned, Error, ErrorKind, Result, Scalar, parallel};
use repeat::Repeat;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;
use storage::{Needs, Pool, Storage};
use view::View;

/// One thing that a run does.
enum Step<T> {
    Loop(Loop<T>),
    Product(Product),
    Assemble(Assemble),
    Convolve(Convolve),
    Repeat(Box<Repeat<T>>),
    Direct(Direct),
    Plain(Plain),
    CopyIndices(View, Place, Place),
}

/// An operation that is evaluated as its primitive says.
struct Plain {
    op: Op,
    args: Vec<(Place, Shape)>,
    results: Vec<(Place, Type)>,
    fault: Option<Error>,
}

/// Steps in order, and the buffers that they use.
struct Plan<T> {
    inputs: Vec<(String, Type, bool)>,
    outputs: Vec<Type>,
    steps: Vec<Step<T>>,
    /// Number of steps that do not depend on directions.
    early: usize,
    slots: Slots<T>,
    /// Scratch of loops.
    tiles: Vec<Aligned<T>>,
    /// For every output whether it is made of nothing but products and not read, so that it can be added to what is there; of a
    /// body of a scan, whether it is a sum, too.
    sums: Vec<bool>,
}

/// Buffers of a plan.
struct Slots<T> {
    arrays: Vec<Slot<T>>,
    lens: Vec<usize>,
    /// Those that hold no constants, the largest first: a plan that is not run needs none of them.
    scratch: Vec<(Kind, usize)>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            arrays: Vec::new(),
            lens: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

/// A program that is ready to run, in `f32` or `f64`.
///
/// ```
/// use quadric_autodiff::{Executable, Program};
///
/// let loss = Program::trace(|t| {
///     let x = t.input("x", [2]);
///     vec![(x * x * x).sum_all()]
/// })?;
/// let product = loss.grad(&["x"])?.linearize(&["x"])?;
/// let mut hessian = Executable::<f64>::new(&product)?;
/// let mut at = hessian.prepare(&[(&[1.0, 2.0][..]).into()])?;
/// let mut out = [0.0; 2];
/// at.apply(&[(&[1.0, 0.0][..]).into()], &mut [&mut out])?;
/// assert_eq!(out, [6.0, 0.0]);
/// at.apply(&[(&[0.0, 1.0][..]).into()], &mut [&mut out])?;
/// assert_eq!(out, [0.0, 12.0]);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub struct Executable<T> {
    plan: Plan<T>,
    /// Buffers of its scans.
    pool: Arc<Pool<T>>,
    flops: u64,
}

/// A program at a point, to be applied to directions.
pub struct Prepared<'a, T> {
    plan: &'a mut Plan<T>,
    inputs: Vec<Data<'a, T>>,
}

impl<T: Scalar> Executable<T> {
    /// Compiles a program.
    ///
    /// # Errors
    ///
    /// If an output is made of indices.
    pub fn new(program: &Program) -> Result<Self> {
        Self::compile(program, Again::OneByOne, Limits::default())
    }

    /// As [`new`](Self::new), for less memory: for every direction, more of what depends on the point only is computed again
    /// instead of being stored, or all of it, whichever takes the least memory.
    ///
    /// # Errors
    ///
    /// If an output is made of indices.
    pub fn compact(program: &Program) -> Result<Self> {
        let mut best = Self::new(program)?;
        for again in [Again::Arithmetic, Again::Everything] {
            let other = Self::compile(program, again, Limits::compact())?;
            if other.memory() < best.memory() {
                best = other;
            }
        }
        Ok(best)
    }

    pub(crate) fn compile(program: &Program, again: Again, limits: Limits) -> Result<Self> {
        let outputs = (0..program.outputs()).map(|i| program.output_type(i));
        if let Some(t) = outputs.into_iter().find(|t| t.kind == Kind::Index) {
            let message = format!("an output is {t}; only real numbers can be outputs");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let staged = transform::stage(&transform::hoist(program), again);
        let pool = Arc::new(Pool::new());
        let mut plan = lower::lower(transform::tile(staged, again, limits), &pool);
        let mut own = Storage::new(&plan.needs());
        plan.exchange(&mut own);
        pool.fill();
        Ok(Self {
            plan,
            pool,
            flops: program.flops(),
        })
    }

    /// Computes the outputs, which are written row after row into the given slices.
    ///
    /// # Errors
    ///
    /// If inputs or outputs do not have the kinds and sizes of the program's, or if an index names no row; then outputs may be NaN.
    pub fn run(&mut self, inputs: &[Data<'_, T>], outputs: &mut [&mut [T]]) -> Result<()> {
        self.plan.check(inputs, |_| true)?;
        self.plan.check_outputs(outputs)?;
        let plan = &mut self.plan;
        parallel::within(|| plan.run(inputs, outputs, 0, false));
        plan.fault().map_or(Ok(()), Err)
    }

    /// Computes what does not depend on directions, for a point: all inputs that are no directions, in order.
    ///
    /// # Errors
    ///
    /// If the inputs do not have the kinds and sizes of the program's, or if an index names no row.
    pub fn prepare<'a>(&'a mut self, point: &[Data<'a, T>]) -> Result<Prepared<'a, T>> {
        self.plan.check(point, |direction| !direction)?;
        let inputs = self.plan.with_directions_open(point);
        let plan = &mut self.plan;
        parallel::within(|| plan.run_steps(&inputs, &mut [], 0..plan.early, false));
        if let Some(fault) = plan.fault() {
            return Err(fault);
        }
        Ok(Prepared { plan, inputs })
    }

    /// The point that was prepared last, with its inputs given again: nothing is computed.
    ///
    /// # Errors
    ///
    /// If the inputs do not have the kinds and sizes of the program's.
    pub fn prepared<'a>(&'a mut self, point: &[Data<'a, T>]) -> Result<Prepared<'a, T>> {
        self.plan.check(point, |direction| !direction)?;
        let inputs = self.plan.with_directions_open(point);
        Ok(Prepared {
            plan: &mut self.plan,
            inputs,
        })
    }

    /// Bytes of all buffers.
    pub fn memory(&self) -> usize {
        self.plan.needs().bytes::<T>() + self.plan.bytes() + self.pool.bytes()
    }

    /// Additions and multiplications of one run.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

impl<T: Scalar> Prepared<'_, T> {
    /// Computes the outputs for directions.
    ///
    /// # Errors
    ///
    /// If directions or outputs do not have the sizes of the program's, or if an index names no row; then outputs may be NaN.
    pub fn apply(&mut self, directions: &[Data<'_, T>], outputs: &mut [&mut [T]]) -> Result<()> {
        self.plan.check(directions, |direction| direction)?;
        self.plan.check_outputs(outputs)?;
        let mut given = directions.iter().copied();
        let inputs = self.inputs.iter().zip(&self.plan.inputs);
        let inputs: SmallVec<[Data<'_, T>; 16]> = inputs
            .map(|(&point, i)| {
                if i.2 {
                    given.next().expect("checked")
                } else {
                    point
                }
            })
            .collect();
        let plan = &mut *self.plan;
        parallel::within(|| plan.run(&inputs, outputs, plan.early, false));
        plan.fault().map_or(Ok(()), Err)
    }
}

impl<T: Scalar> Plan<T> {
    /// All inputs at a point, with directions still to come.
    fn with_directions_open<'a>(&self, point: &[Data<'a, T>]) -> Vec<Data<'a, T>> {
        let mut point = point.iter().copied();
        let inputs = self.inputs.iter().map(|i| match i.2 {
            true => Data::Float(&[]),
            false => point.next().expect("checked"),
        });
        inputs.collect()
    }

    fn check(&self, given: &[Data<'_, T>], belongs: impl Fn(bool) -> bool) -> Result<()> {
        let expected = || self.inputs.iter().filter(|i| belongs(i.2));
        let (found, count) = (given.len(), expected().count());
        if found != count {
            return Err(Error::shape("the list of inputs", found, count));
        }
        for (data, (name, t, _)) in given.iter().zip(expected()) {
            data.check(name, t)?;
        }
        Ok(())
    }

    fn check_outputs(&self, outputs: &[&mut [T]]) -> Result<()> {
        let (found, expected) = (
            outputs.iter().map(|o| o.len()),
            self.outputs.iter().map(Type::len),
        );
        if found.clone().eq(expected.clone()) {
            return Ok(());
        }
        let (found, expected): (Vec<usize>, Vec<usize>) = (found.collect(), expected.collect());
        Err(Error::shape("the list of outputs", found, expected))
    }

    /// All steps from one on; a run that `adds` does so with the outputs that it [can add](Self::adds).
    fn run(&mut self, inputs: &[Data<'_, T>], outputs: &mut [&mut [T]], from: usize, adds: bool) {
        let steps = self.steps.len();
        self.run_steps(inputs, outputs, from..steps, adds);
    }

    /// Some of the outputs are sums.
    fn add_up(&mut self, outputs: Range<usize>) {
        for (i, can) in self.sums.iter_mut().enumerate() {
            *can &= outputs.contains(&i);
        }
        for step in &mut self.steps {
            if let Step::Product(p) = step
                && let Place::Output(i) = p.out
            {
                p.is_sum = self.sums[i];
            }
        }
    }

    /// Whether an output is a sum that a run can add to.
    fn adds(&self, output: usize) -> bool {
        self.sums[output]
    }

    fn run_steps(
        &mut self,
        inputs: &[Data<'_, T>],
        outputs: &mut [&mut [T]],
        range: Range<usize>,
        adds: bool,
    ) {
        let mut memory = Memory {
            adds,
            inputs,
            slots: &mut self.slots.arrays,
            lens: &self.slots.lens,
            tiles: &mut self.tiles,
            outputs: outputs.iter_mut().map(|o| &mut **o).collect(),
        };
        for step in &mut self.steps[range] {
            match step {
                Step::Loop(l) => l.run(&mut memory),
                Step::Product(p) => p.run(&mut memory),
                Step::Assemble(a) => a.run(&mut memory),
                Step::Convolve(c) => c.run(&mut memory),
                Step::Repeat(r) => r.run(&mut memory),
                Step::Direct(d) => d.run(&mut memory),
                Step::Plain(p) => p.run(&mut memory),
                Step::CopyIndices(view, from, to) => {
                    let mut room = memory.take(*to);
                    let Data::Index(data) = memory.read(*from) else {
                        unreachable!("indices are copied");
                    };
                    let (shape, strides) = (&view.shape, &view.strides);
                    assemble::copy_indices(data, view.offset, shape, strides, room.indices());
                    memory.put(*to, room);
                }
            }
        }
    }

    /// What was wrong with entries since the last call: of the first of the steps that found something.
    fn fault(&mut self) -> Option<Error> {
        let faults = self.steps.iter_mut().map(|step| match step {
            Step::Direct(d) => d.fault(),
            Step::Repeat(r) => r.fault(),
            Step::Plain(p) => p.fault.take(),
            _ => None,
        });
        // All are asked, so that none is left for the next run.
        faults.fold(None, Option::or)
    }

    /// Gives the plan buffers, or takes them back.
    fn exchange(&mut self, storage: &mut Storage<T>) {
        let Slots {
            arrays, scratch, ..
        } = &mut self.slots;
        storage.exchange(arrays, scratch);
        std::mem::swap(&mut self.tiles, &mut storage.tiles);
    }

    /// What buffers it needs to be run.
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for &(kind, slot) in &self.slots.scratch {
            let lens = match kind {
                Kind::Float => &mut needs.floats,
                Kind::Index => &mut needs.indices,
            };
            lens.push(self.slots.lens[slot]);
        }
        for step in &self.steps {
            if let Step::Loop(l) = step {
                l.note_tiles(&mut needs.tiles);
            }
        }
        needs
    }

    /// Bytes of what it holds for itself.
    fn bytes(&self) -> usize {
        let constants = (0..self.slots.lens.len()).filter(|i| {
            let mut scratch = self.slots.scratch.iter();
            !scratch.any(|s| s.1 == *i)
        });
        let slots = constants.map(|i| match &self.slots.arrays[i] {
            Slot::Float(v) => v.len() * size_of::<T>(),
            Slot::Index(v) => v.len() * size_of::<i32>(),
        });
        let steps = self.steps.iter().map(|s| match s {
            Step::Repeat(r) => r.bytes(),
            Step::Direct(d) => d.bytes(),
            _ => 0,
        });
        slots.sum::<usize>() + steps.sum::<usize>()
    }
}

impl Plain {
    fn run<T: Scalar>(&mut self, memory: &mut Memory<'_, T>) {
        let operand = |(place, shape): &(Place, Shape)| (memory.read(*place), shape.clone());
        let args: Vec<(Data<'_, T>, Shape)> = self.args.iter().map(operand).collect();
        let args: Vec<Operand<'_, T>> = args
            .iter()
            .map(|(data, shape)| Operand { shape, data: *data })
            .collect();
        let types: Vec<Type> = self.results.iter().map(|r| r.1.clone()).collect();
        let results = match self.op.eval(&args, &types) {
            Ok(results) => results,
            Err(fault) => {
                self.fault = self.fault.take().or(Some(fault));
                return;
            }
        };
        for ((place, _), value) in self.results.iter().zip(results) {
            let mut room = memory.take(*place);
            match (&mut room, &value) {
                (room, Array::Index(v)) => room.indices()[..v.len()].copy_from_slice(v),
                (room, Array::Float(v)) => room.floats()[..v.len()].copy_from_slice(v),
            }
            memory.put(*place, room);
        }
    }
}
