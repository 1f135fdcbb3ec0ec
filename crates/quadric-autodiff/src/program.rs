//! A program: equations over arrays in the order they are computed, with named inputs and outputs.

use crate::graph::{Graph, Vars};
use crate::ops::{Op, Primitive};
use crate::types::{Type, Var};
use std::fmt;

/// One operation of a program.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Equation {
    pub(crate) op: Op,
    pub(crate) args: Vars,
    pub(crate) results: Vars,
}

/// Marks what depends on the values that are marked already.
pub(crate) fn mark_dependents(equations: &[Equation], depends: &mut [bool]) {
    for e in equations {
        if e.args.iter().any(|v| depends[v.index()]) {
            e.results.iter().for_each(|v| depends[v.index()] = true);
        }
    }
}

/// Marks what the values that are marked already depend on.
pub(crate) fn mark_needed(equations: &[Equation], needed: &mut [bool]) {
    for e in equations.iter().rev() {
        if e.results.iter().any(|v| needed[v.index()]) {
            e.args.iter().for_each(|v| needed[v.index()] = true);
        }
    }
}

/// An input of a program.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Input {
    pub(crate) var: Var,
    pub(crate) name: String,
    pub(crate) direction: bool,
}

impl Input {
    pub(crate) fn unnamed(var: Var) -> Self {
        Self {
            var,
            name: String::new(),
            direction: false,
        }
    }

    /// The name it was given when the program was traced.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a direction, along which a linearised program is applied again and again, and not part of the point
    /// where it is prepared.
    pub fn is_direction(&self) -> bool {
        self.direction
    }
}

/// A computation over arrays of fixed shapes, traced once and then transformed, compiled and run.
///
/// Equations are in single-assignment form and in an order in which they can be computed; only what the outputs need is
/// kept. Two programs are equal if they compute the same in the same way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Program {
    pub(crate) types: Vec<Type>,
    pub(crate) equations: Vec<Equation>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Var>,
}

impl Program {
    /// What is needed of a graph for `outputs`, renumbered. An input may be any value: what makes it is left out.
    pub(crate) fn extract(graph: &Graph, inputs: &[Input], outputs: &[Var]) -> Self {
        let kept = live_equations(graph, inputs, outputs);
        let mut program = Self {
            types: Vec::new(),
            equations: Vec::with_capacity(kept.len()),
            inputs: inputs.to_vec(),
            outputs: Vec::new(),
        };
        let mut numbers = std::collections::HashMap::new();
        let mut number = |v: Var, types: &mut Vec<Type>| {
            *numbers.entry(v).or_insert_with(|| {
                types.push(graph.type_of(v).clone());
                Var(types.len() as u32 - 1)
            })
        };
        for input in &mut program.inputs {
            input.var = number(input.var, &mut program.types);
        }
        for e in kept.into_iter().rev() {
            let args = e
                .args
                .iter()
                .map(|&v| number(v, &mut program.types))
                .collect();
            let results = e
                .results
                .iter()
                .map(|&v| number(v, &mut program.types))
                .collect();
            program.equations.push(Equation {
                op: e.op,
                args,
                results,
            });
        }
        program.outputs = outputs
            .iter()
            .map(|&v| number(v, &mut program.types))
            .collect();
        program
    }

    /// The inputs, in the order in which [`run`](Self::run) takes them.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Kind and shape of an input.
    pub fn input_type(&self, input: usize) -> &Type {
        &self.types[self.inputs[input].var.index()]
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Kind and shape of an output.
    pub fn output_type(&self, output: usize) -> &Type {
        &self.types[self.outputs[output].index()]
    }

    /// Number of equations, counting a scan as one.
    pub fn len(&self) -> usize {
        self.equations.len()
    }

    /// True if the outputs are inputs.
    pub fn is_empty(&self) -> bool {
        self.equations.is_empty()
    }

    /// Additions and multiplications of one run, with one each for element-wise functions.
    pub fn flops(&self) -> u64 {
        self.equations.iter().map(|e| self.cost(e)).sum()
    }

    /// Those of them that depend on directions: what is computed anew for each.
    pub fn flops_along_directions(&self) -> u64 {
        let depends = self.depends_on_directions();
        let anew = |e: &&Equation| e.results.iter().any(|v| depends[v.index()]);
        self.equations
            .iter()
            .filter(anew)
            .map(|e| self.cost(e))
            .sum()
    }

    /// For every value whether it depends on directions.
    pub(crate) fn depends_on_directions(&self) -> Vec<bool> {
        let mut depends = vec![false; self.types.len()];
        for input in &self.inputs {
            depends[input.var.index()] = input.direction;
        }
        mark_dependents(&self.equations, &mut depends);
        depends
    }

    pub(crate) fn cost(&self, e: &Equation) -> u64 {
        let args: Vec<&Type> = e.args.iter().map(|v| &self.types[v.index()]).collect();
        let results = e.results.iter().map(|v| self.types[v.index()].clone());
        e.op.flops(&args, &results.collect::<Vec<Type>>())
    }

    /// Which inputs some of the outputs need.
    pub(crate) fn needs(&self, outputs: &[bool]) -> Vec<bool> {
        let mut needed = vec![false; self.types.len()];
        for (v, &wanted) in self.outputs.iter().zip(outputs) {
            needed[v.index()] |= wanted;
        }
        mark_needed(&self.equations, &mut needed);
        self.inputs.iter().map(|i| needed[i.var.index()]).collect()
    }

    /// The program with some of its inputs and outputs, which need no others.
    pub(crate) fn select(&self, inputs: &[bool], outputs: &[bool]) -> Self {
        let (graph, own, results) = self.to_graph();
        let own = own.into_iter().zip(inputs).filter(|(_, k)| **k);
        let own: Vec<Input> = own.map(|(i, _)| i).collect();
        let results = results.into_iter().zip(outputs).filter(|(_, k)| **k);
        let results: Vec<Var> = results.map(|(v, _)| v).collect();
        Self::extract(&graph, &own, &results)
    }

    /// A graph that holds the program, with its inputs and outputs.
    pub(crate) fn to_graph(&self) -> (Graph, Vec<Input>, Vars) {
        let mut graph = Graph::default();
        let inputs: Vec<Input> = self
            .inputs
            .iter()
            .map(|i| Input {
                var: graph.input(self.types[i.var.index()].clone()),
                ..i.clone()
            })
            .collect();
        let vars: Vars = inputs.iter().map(|i| i.var).collect();
        let outputs = graph.inline(self, &vars);
        (graph, inputs, outputs)
    }
}

/// The equations that `outputs` need beside `inputs`, last first; scans lose what nobody needs of them.
fn live_equations(graph: &Graph, inputs: &[Input], outputs: &[Var]) -> Vec<Equation> {
    let mut needed = std::collections::HashSet::new();
    let given: std::collections::HashSet<Var> = inputs.iter().map(|i| i.var).collect();
    let made = |v: &Var| !given.contains(v);
    needed.extend(outputs.iter().copied().filter(made));
    let mut kept = Vec::new();
    for e in graph.equations().iter().rev() {
        if !e.results.iter().any(|v| needed.contains(v)) {
            continue;
        }
        let e = match &e.op {
            Op::Scan(scan) => scan.pruned(e, |v| needed.contains(&v)),
            _ => e.clone(),
        };
        needed.extend(e.args.iter().copied().filter(made));
        kept.push(e);
    }
    kept
}

/// One equation a line, as `%4 float[2, 3] = add %1 %3`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for input in &self.inputs {
            let kind = if input.direction {
                "direction"
            } else {
                "input"
            };
            let t = &self.types[input.var.index()];
            writeln!(f, "{} {t} = {kind} {}", input.var, input.name)?;
        }
        for e in &self.equations {
            for (i, v) in e.results.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(f, "{comma}{v} {}", self.types[v.index()])?;
            }
            write!(f, " = {}", e.op)?;
            for v in &e.args {
                write!(f, " {v}")?;
            }
            writeln!(f)?;
        }
        write!(f, "return")?;
        for v in &self.outputs {
            write!(f, " {v}")?;
        }
        writeln!(f)
    }
}
