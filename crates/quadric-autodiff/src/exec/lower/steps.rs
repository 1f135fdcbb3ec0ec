//! Items put in order and turned into steps, once every buffer has its place.

use super::{Group, Item, Lowering, Operand, Work};
use crate::exec::assemble::Assemble;
use crate::exec::convolve::Convolve;
use crate::exec::direct::Direct;
use crate::exec::fused::{Code, Load, Loop, Sink, Source};
use crate::exec::memory::Place;
use crate::exec::product::Product;
use crate::exec::repeat::Repeat;
use crate::exec::storage::Pool;
use crate::exec::view::{Strides, View, collapse};
use crate::exec::{Plain, Plan, Step};
use crate::types::row_major;
use quadric_linalg::Scalar;
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn finish<T: Scalar>(mut self, pool: &Arc<Pool<T>>) -> Plan<T> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&i| (self.items[i].late, self.items[i].order));
        let early = order.iter().filter(|&&i| !self.items[i].late).count();
        let slots = self.share(&order, early);
        // Without directions nothing is prepared.
        let early = if self.is_staged() { early } else { 0 };
        let sums = self.are_products();
        let program = self.program;
        let items = std::mem::take(&mut self.items);
        let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
        let steps = order.iter().map(|&i| {
            let item = items[i].take().expect("each once");
            self.step(item.work, pool)
        });
        let steps: Vec<Step<T>> = steps.collect();
        let inputs = program.inputs.iter().enumerate();
        Plan {
            inputs: inputs
                .map(|(i, input)| {
                    (
                        input.name.clone(),
                        program.input_type(i).clone(),
                        input.direction,
                    )
                })
                .collect(),
            outputs: (0..program.outputs())
                .map(|i| program.output_type(i).clone())
                .collect(),
            steps,
            early,
            slots,
            tiles: Vec::new(),
            sums,
        }
    }

    fn place(&self, buffer: usize) -> Place {
        self.buffers[buffer]
            .place
            .expect("every buffer that is used has a place")
    }

    fn step<T: Scalar>(&self, work: Work, pool: &Arc<Pool<T>>) -> Step<T> {
        match work {
            Work::Group(group) => Step::Loop(self.compile(&group)),
            Work::Product { a, b, out, adds } => {
                let (at_a, at_b) = (self.place(a.buffer), self.place(b.buffer));
                let out = self.place(out);
                Step::Product(Product::new((&a, at_a), (&b, at_b), out, adds))
            }
            Work::Convolve(op, a, b, out) => {
                let (at_a, at_b) = (self.place(a.buffer), self.place(b.buffer));
                let shape = &self.buffers[out].t.shape;
                Step::Convolve(Convolve::new(
                    op,
                    (&a, at_a),
                    (&b, at_b),
                    (self.place(out), shape),
                ))
            }
            Work::Assemble(parts, out, shape) => {
                let parts = parts.into_iter().map(|(view, slice)| {
                    let place = self.place(view.buffer);
                    (view, place, slice)
                });
                Step::Assemble(Assemble::new(self.place(out), &shape, parts.collect()))
            }
            Work::Scan(scan, args, results) => {
                let places = |v: Vec<usize>| v.into_iter().map(|b| self.place(b)).collect();
                let repeat = Repeat::new(&scan, places(args), places(results), pool);
                Step::Repeat(Box::new(repeat))
            }
            Work::Direct(op, views, out) => {
                let args = views.into_iter().map(|v| {
                    let place = self.place(v.buffer);
                    (v, place)
                });
                let args: Vec<(View, Place)> = args.collect();
                let t = &self.buffers[out].t;
                Step::Direct(Direct::new(&op, &args, (self.place(out), t)))
            }
            Work::Plain(op, args, results) => Step::Plain(Plain {
                op,
                args: args
                    .into_iter()
                    .map(|(b, t)| (self.place(b), t.shape))
                    .collect(),
                results: results
                    .into_iter()
                    .map(|(b, t)| (self.place(b), t))
                    .collect(),
                fault: None,
            }),
            Work::CopyIndices(view, to) => {
                let from = self.place(view.buffer);
                Step::CopyIndices(view, from, self.place(to))
            }
        }
    }

    /// A loop over the axes that all of its arrays let be taken together.
    fn compile<T: Scalar>(&self, group: &Group) -> Loop<T> {
        let mut loads: Vec<Load> = Vec::new();
        let mut source = |o: &Operand| match o {
            Operand::Number(v) => Source::Number(*v),
            Operand::Register(r) => Source::Register(*r),
            Operand::View(view) => {
                let load = Load {
                    place: self.place(view.buffer),
                    offset: view.offset,
                    strides: view.strides.clone(),
                };
                let same = |l: &Load| {
                    l.place == load.place && l.offset == load.offset && l.strides == load.strides
                };
                let known = loads.iter().position(same);
                Source::Load(known.unwrap_or_else(|| {
                    loads.push(load);
                    loads.len() - 1
                }))
            }
        };
        let code = group.code.iter().map(|(code, o)| match code {
            Code::Copy(_) => Code::Copy(source(&o[0])),
            Code::Map(f, _) => Code::Map(*f, source(&o[0])),
            Code::Zip(f, ..) => Code::Zip(*f, source(&o[0]), source(&o[1])),
            Code::Select(..) => Code::Select(source(&o[0]), source(&o[1]), source(&o[2])),
        });
        let code: Vec<Code> = code.collect();
        let mut sinks: Vec<Sink> = Vec::new();
        for r in &group.sinks {
            let mut own = row_major(&self.buffers[r.buffer].t.shape).into_iter();
            let stride = |axis: usize| {
                if r.axes.contains(&axis) {
                    0
                } else {
                    own.next().unwrap_or(0)
                }
            };
            sinks.push(Sink {
                source: source(&r.source),
                reduction: r.reduction,
                place: self.place(r.buffer),
                strides: (0..group.shape.len()).map(stride).collect(),
                len: self.buffers[r.buffer].t.len(),
            });
        }
        let stored = group.buffers.iter().enumerate();
        let stores = stored.filter(|(_, b)| self.buffers[**b].is_stored);
        let stores = stores.map(|(r, &b)| (r, self.place(b))).collect();
        let mut dense: Strides = row_major(&group.shape);
        let mut arrays: Vec<&mut Strides> = vec![&mut dense];
        arrays.extend(loads.iter_mut().map(|l| &mut l.strides));
        arrays.extend(sinks.iter_mut().map(|s| &mut s.strides));
        let dims = collapse(&group.shape, &mut arrays);
        Loop::new(dims, code, loads, stores, sinks)
    }
}
