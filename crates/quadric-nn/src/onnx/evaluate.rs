//! A graph, traced.

use super::graph::Graph;
use super::known::{ALLOWANCE, Element, small};
use super::site::Site;
use super::value::Value;
use crate::{Init, Scope};
use quadric_autodiff::Tensor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The node that is being traced, for messages of the engine, which does not know it. Read only after the first trace.
#[derive(Default)]
pub(super) struct Progress(AtomicUsize);

impl Progress {
    /// Its label.
    pub(super) fn node<'g>(&self, graph: &'g Graph) -> Option<&'g str> {
        let next = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        graph.nodes.get(next).map(|n| n.label.as_str())
    }

    fn set(&self, node: Option<usize>) {
        self.0.store(node.map_or(0, |i| i + 1), Ordering::Relaxed);
    }
}

/// The values that are there before the first node.
fn initial<'t>(graph: &Graph, scope: &Scope<'t>, inputs: &[Tensor<'t>]) -> Vec<Option<Value<'t>>> {
    let mut values = vec![None; graph.names.len()];
    for (id, known) in &graph.constants {
        // What is too large for a shape can only be data.
        let value = match small(&known.shape) {
            Ok(_) => Ok(Value::Known(Arc::clone(known))),
            Err(_) => known.traced(scope.tracer()),
        };
        let what = || format!("initializer `{}`", graph.names[*id]);
        values[*id] = Some(value.unwrap_or_else(|e| scope.tracer().fail(&what(), &e)));
    }
    for p in &graph.parameters {
        let init = Init::Given(Arc::clone(&p.values));
        let parameter = scope.parameter(&graph.names[p.id], &p.shape, p.role, init);
        values[p.id] = Some(parameter.into());
    }
    for b in &graph.buffers {
        let init = Init::Given(Arc::clone(&b.values));
        values[b.id] = Some(scope.buffer(&graph.names[b.id], &b.shape, init).into());
    }
    for (input, &tensor) in graph.inputs.iter().zip(inputs) {
        values[input.id] = Some(match input.element {
            Element::Float => tensor.into(),
            Element::Integer => Value::Index(tensor),
            Element::Truth => {
                let real = tensor.to_float();
                let is_zero = real.equal(real.fill_like(0.0));
                Value::Real(1.0 - is_zero, Element::Truth)
            }
        });
    }
    values
}

/// Entries of an array that has just been made.
fn known_entries(value: &Value<'_>) -> usize {
    match value {
        Value::Known(k) if Arc::strong_count(k) == 1 => k.len(),
        _ => 0,
    }
}

/// The outputs of a graph for inputs that are traced. A mistake ends the trace.
pub(super) fn run<'t>(
    graph: &Graph,
    scope: &Scope<'t>,
    inputs: &[Tensor<'t>],
    progress: &Progress,
) -> Vec<Tensor<'t>> {
    let tracer = scope.tracer();
    progress.set(None);
    let mut values = initial(graph, scope, inputs);
    let mut made = 0;
    for (i, node) in graph.nodes.iter().enumerate() {
        progress.set(Some(i));
        let site = Site {
            graph,
            node,
            scope,
            inputs: node
                .inputs
                .iter()
                .map(|id| id.and_then(|id| values[id].clone()))
                .collect(),
        };
        let fail = |message: &str| -> ! {
            progress.set(None);
            tracer.fail(&node.label, message)
        };
        let results = (node.entry.rule)(&site).unwrap_or_else(|message| fail(&message));
        made += results.iter().map(known_entries).sum::<usize>();
        if made > ALLOWANCE {
            fail("what is known of shapes and constants has become too large");
        }
        for (k, id) in node.outputs.iter().enumerate() {
            let Some(id) = *id else { continue };
            match results.get(k) {
                Some(value) => values[id] = Some(value.clone()),
                None if graph.reads(id) => fail(&format!("its output {k} is not supported")),
                None => {}
            }
        }
    }
    progress.set(None);
    let output = |id: &usize| {
        let value = values[*id]
            .as_ref()
            .expect("made by a node, or there before the first");
        value.real(tracer)
    };
    graph.outputs.iter().map(output).collect()
}
