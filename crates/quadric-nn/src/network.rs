//! What a network is: a function of parameters, buffers and a batch of examples, written as Rust that computes with tensors.

mod tap;

use crate::Init;
use quadric_autodiff::{Kind, Program, Shape, Tensor, Tracer, Type};
use quadric_core::{Layout, Role};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Result, Scalar};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use tap::Taps;
pub use tap::Weighted;
pub(crate) use tap::{Tapped, rows};

/// An input of a network: what it holds for one example.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Real numbers, or indices.
    pub kind: Kind,
    /// Lengths of the axes of one example.
    pub shape: Vec<usize>,
    /// The axis of a batch along which examples lie.
    pub axis: usize,
}

impl Port {
    /// Real numbers; examples lie along the first axis.
    pub fn floats(name: &str, shape: impl IntoIterator<Item = usize>) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Float,
            shape: shape.into_iter().collect(),
            axis: 0,
        }
    }

    /// Indices; examples lie along the first axis.
    pub fn indices(name: &str, shape: impl IntoIterator<Item = usize>) -> Self {
        Self {
            kind: Kind::Index,
            ..Self::floats(name, shape)
        }
    }

    /// The type of a batch.
    pub fn of_batch(&self, examples: usize) -> Type {
        let mut shape: Shape = self.shape.iter().copied().collect();
        shape.insert(self.axis, examples);
        Type {
            kind: self.kind,
            shape,
        }
    }
}

/// How layers behave that know the difference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Mode {
    /// Batch normalisation uses running statistics, dropout does nothing.
    #[default]
    Evaluate,
    /// Batch normalisation uses the statistics of the batch, and returns new running statistics.
    Train,
}

type Body = dyn for<'t> Fn(&Scope<'t>, &[Tensor<'t>]) -> Vec<Tensor<'t>> + Send + Sync;

/// A function of parameters, buffers and a batch.
#[derive(Clone)]
pub struct Network {
    inputs: Arc<[Port]>,
    parameters: Pieces,
    buffers: Pieces,
    random: bool,
    body: Arc<Body>,
}

/// A flat vector: its layout, and the values it starts from.
#[derive(Clone, Default)]
struct Pieces {
    layout: Layout,
    inits: Arc<[Init]>,
}

/// What a network is called with.
#[derive(Clone, Copy)]
pub struct Call<'t, 'a> {
    /// All parameters, flat.
    pub parameters: Tensor<'t>,
    /// All buffers, flat.
    pub buffers: Tensor<'t>,
    /// A batch: one tensor for each input.
    pub inputs: &'a [Tensor<'t>],
    /// How layers behave.
    pub mode: Mode,
    /// What random numbers depend on, two indices such as a seed and the number of a step ([`Tracer::random`]). A network that
    /// draws none needs no key.
    pub key: Option<Tensor<'t>>,
}

/// What a call returns.
pub struct Traced<'t> {
    /// The outputs.
    pub outputs: Vec<Tensor<'t>>,
    /// All buffers as they are afterwards, flat.
    pub buffers: Tensor<'t>,
}

/// Where layers find their parameters and buffers.
pub struct Scope<'t> {
    tracer: &'t Tracer,
    mode: Mode,
    key: Option<Tensor<'t>>,
    prefix: String,
    store: Rc<RefCell<Store<'t>>>,
}

/// The pieces that a body has asked for, or the flat vectors that hold them.
struct Store<'t> {
    parameters: Named<'t>,
    buffers: Named<'t>,
    /// Whether the key was asked for.
    random: bool,
    /// What goes through the layers, if somebody looks.
    taps: Option<Taps<'t>>,
}

struct Named<'t> {
    /// Known when the network has been defined.
    known: Option<(Layout, Tensor<'t>)>,
    /// Asked for while it is defined.
    asked: Vec<(String, Vec<usize>, Role, Init)>,
    values: HashMap<String, Tensor<'t>>,
}

impl<'t> Named<'t> {
    fn new(known: Option<(Layout, Tensor<'t>)>) -> Self {
        Self {
            known,
            asked: Vec::new(),
            values: HashMap::new(),
        }
    }

    /// The piece of a name; an error says why there is none.
    fn get(
        &mut self,
        tracer: &'t Tracer,
        name: &str,
        shape: &[usize],
        role: Role,
        init: Init,
    ) -> std::result::Result<Tensor<'t>, String> {
        let size: usize = shape.iter().product();
        if let Init::Given(values) = &init
            && values.len() != size
        {
            let given = values.len();
            return Err(format!("`{name}` of shape {shape:?} from {given} values"));
        }
        if let Some(&known) = self.values.get(name) {
            let before = known.shape();
            if before[..] != *shape {
                let before = &before[..];
                return Err(format!("`{name}` of shape {shape:?}, before {before:?}"));
            }
            return Ok(known);
        }
        let value = if let Some((layout, flat)) = &self.known {
            let segment = layout.find(name);
            let segment = segment.filter(|s| s.shape == shape).ok_or_else(|| {
                format!(
                    "`{name}` of shape {shape:?} was not asked for when the network was defined"
                )
            })?;
            flat.slice(0, segment.range())
                .reshape(shape.iter().copied())
        } else {
            self.asked
                .push((name.to_owned(), shape.to_vec(), role, init));
            tracer.input(name, shape.iter().copied())
        };
        self.values.insert(name.to_owned(), value);
        Ok(value)
    }

    fn pieces(&self) -> Result<Pieces> {
        let named = self
            .asked
            .iter()
            .map(|(n, s, r, _)| (n.clone(), s.clone(), *r));
        Ok(Pieces {
            layout: Layout::new(named)?,
            inits: self.asked.iter().map(|p| p.3.clone()).collect(),
        })
    }

    /// All pieces as they are now, flat.
    fn flat(&self, tracer: &'t Tracer) -> Tensor<'t> {
        let Some((layout, flat)) = &self.known else {
            return tracer.fill(0.0, [0]);
        };
        let pieces = layout.segments().iter().map(|s| {
            let changed = self.values.get(&s.name);
            changed.map_or_else(|| flat.slice(0, s.range()), |v| v.reshape([s.len()]))
        });
        let pieces: Vec<Tensor<'t>> = pieces.collect();
        match &pieces[..] {
            [] => *flat,
            [first, others @ ..] => first.concat(others, 0),
        }
    }
}

impl Pieces {
    fn initial<T: Scalar>(&self, seed: u64) -> Vec<T> {
        let seeds = SeedTree::new(seed).child("initial values");
        let mut flat = vec![T::of(0.0); self.layout.len()];
        for (segment, init) in self.layout.segments().iter().zip(&*self.inits) {
            let columns = segment.shape.last().copied().unwrap_or(1);
            init.fill(&segment.name, columns, seeds, &mut flat[segment.range()]);
        }
        flat
    }
}

impl<'t> Scope<'t> {
    /// A scope in this one: names get `name` and a dot in front.
    #[must_use]
    pub fn within(&self, name: impl fmt::Display) -> Self {
        Self {
            tracer: self.tracer,
            mode: self.mode,
            key: self.key,
            prefix: format!("{}{name}.", self.prefix),
            store: Rc::clone(&self.store),
        }
    }

    /// Where tensors that depend on nothing are made.
    pub fn tracer(&self) -> &'t Tracer {
        self.tracer
    }

    /// How layers behave.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The key of random numbers, if the network is called with one. A layer that draws some in [`Mode::Train`] asks in either
    /// mode, so that the network knows ([`Network::is_random`]).
    pub fn key(&self) -> Option<Tensor<'t>> {
        self.store.borrow_mut().random = true;
        self.key
    }

    /// A parameter. Asked for again, it is the same one.
    #[track_caller]
    pub fn parameter(&self, name: &str, shape: &[usize], role: Role, init: Init) -> Tensor<'t> {
        let name = format!("{}{name}", self.prefix);
        let found = self
            .store
            .borrow_mut()
            .parameters
            .get(self.tracer, &name, shape, role, init);
        match found {
            Ok(value) => value,
            Err(message) => self.tracer.fail("parameter", &message),
        }
    }

    /// A buffer: not trained, but kept with the parameters, as running statistics are.
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Tensor<'t> {
        let name = format!("{}{name}", self.prefix);
        let found =
            self.store
                .borrow_mut()
                .buffers
                .get(self.tracer, &name, shape, Role::Plain, init);
        match found {
            Ok(value) => value,
            Err(message) => self.tracer.fail("buffer", &message),
        }
    }

    /// What a buffer is after this call.
    #[track_caller]
    pub fn set_buffer(&self, name: &str, value: Tensor<'t>) {
        let name = format!("{}{name}", self.prefix);
        let mut store = self.store.borrow_mut();
        let Some(known) = store.buffers.values.get_mut(&name) else {
            drop(store);
            self.tracer
                .fail("buffer", &format!("there is none named `{name}`"));
        };
        let (before, after) = (known.shape(), value.shape());
        if before != after {
            drop(store);
            let (before, after) = (&before[..], &after[..]);
            let message = format!("`{name}` of shape {before:?} cannot become {after:?}");
            self.tracer.fail("buffer", &message);
        }
        *known = value;
    }
}

/// What one run of a body shows.
struct Defined {
    program: Program,
    parameters: Pieces,
    buffers: Pieces,
    random: bool,
}

/// Runs a body that finds its parameters and buffers as inputs of their own.
fn define(inputs: &[Port], body: &Body, examples: usize) -> Result<Defined> {
    let mut pieces = None;
    let program = Program::trace(|t| {
        let scope = Scope {
            tracer: t,
            mode: Mode::Evaluate,
            key: None,
            prefix: String::new(),
            store: Rc::new(RefCell::new(Store {
                parameters: Named::new(None),
                buffers: Named::new(None),
                random: false,
                taps: None,
            })),
        };
        let batch: Vec<Tensor<'_>> = inputs.iter().map(|p| p.input(t, examples)).collect();
        let outputs = body(&scope, &batch);
        let store = scope.store.borrow();
        pieces = Some((
            store.parameters.pieces(),
            store.buffers.pieces(),
            store.random,
        ));
        outputs
    })?;
    let (parameters, buffers, random) = pieces.expect("the trace went through");
    Ok(Defined {
        program,
        parameters: parameters?,
        buffers: buffers?,
        random,
    })
}

impl Network {
    /// A network from its body, which is run once to learn what parameters it asks for, and again whenever it is traced.
    ///
    /// # Errors
    ///
    /// If shapes do not fit, with the place in the body.
    pub fn new(
        inputs: impl Into<Vec<Port>>,
        body: impl for<'t> Fn(&Scope<'t>, &[Tensor<'t>]) -> Vec<Tensor<'t>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let inputs: Vec<Port> = inputs.into();
        let defined = define(&inputs, &body, 2)?;
        Ok(Self {
            inputs: inputs.into(),
            parameters: defined.parameters,
            buffers: defined.buffers,
            random: defined.random,
            body: Arc::new(body),
        })
    }

    /// The program of the outputs in [`Mode::Evaluate`] for a batch of `examples`. Its inputs are those of the network, then
    /// parameters and buffers, each by its name, in the order in which the body asks for them.
    pub(crate) fn program_by_name(&self, examples: usize) -> Result<Program> {
        Ok(define(&self.inputs, &*self.body, examples)?.program)
    }

    /// What an example consists of.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Names, shapes and places of the parameters.
    pub fn layout(&self) -> &Layout {
        &self.parameters.layout
    }

    /// Names, shapes and places of the buffers.
    pub fn buffers(&self) -> &Layout {
        &self.buffers.layout
    }

    /// Whether a call in [`Mode::Train`] needs a key ([`Call::key`]).
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// Parameters to start from. Each depends on the seed and its name only.
    pub fn initial<T: Scalar>(&self, seed: u64) -> Vec<T> {
        self.parameters.initial(seed)
    }

    /// Buffers to start from.
    pub fn initial_buffers<T: Scalar>(&self) -> Vec<T> {
        self.buffers.initial(0)
    }

    /// Calls the network inside a trace.
    #[track_caller]
    pub fn trace<'t>(&self, t: &'t Tracer, call: Call<'t, '_>) -> Traced<'t> {
        self.trace_all(t, call, None).0
    }

    /// As [`trace`](Self::trace), with what goes through the layers; `zero` is an input of the trace that will be 0.
    #[track_caller]
    pub(crate) fn trace_tapped<'t>(
        &self,
        call: Call<'t, '_>,
        zero: Tensor<'t>,
    ) -> (Traced<'t>, Vec<Tapped<'t>>) {
        self.trace_all(zero.tracer(), call, Some(Taps::new(zero)))
    }

    #[track_caller]
    fn trace_all<'t>(
        &self,
        t: &'t Tracer,
        call: Call<'t, '_>,
        taps: Option<Taps<'t>>,
    ) -> (Traced<'t>, Vec<Tapped<'t>>) {
        let scope = Scope {
            tracer: t,
            mode: call.mode,
            key: call.key,
            prefix: String::new(),
            store: Rc::new(RefCell::new(Store {
                parameters: Named::new(Some((self.layout().clone(), call.parameters))),
                buffers: Named::new(Some((self.buffers().clone(), call.buffers))),
                random: false,
                taps,
            })),
        };
        let outputs = (self.body)(&scope, call.inputs);
        let mut store = scope.store.borrow_mut();
        let buffers = store.buffers.flat(t);
        let found = store.taps.take().map_or_else(Vec::new, |taps| taps.found);
        (Traced { outputs, buffers }, found)
    }

    /// The program of the outputs for a batch of `examples`, with inputs `parameters`, `buffers`, and those of the network;
    /// in [`Mode::Train`], if it [is random](Self::is_random), also with the index input `key`, of shape `[2]`.
    ///
    /// # Errors
    ///
    /// If shapes do not fit.
    pub fn program(&self, examples: usize, mode: Mode) -> Result<Program> {
        Program::trace(|t| {
            let parameters = t.input("parameters", [self.layout().len()]);
            let buffers = t.input("buffers", [self.buffers().len()]);
            let inputs: Vec<Tensor<'_>> =
                self.inputs.iter().map(|p| p.input(t, examples)).collect();
            let call = Call {
                parameters,
                buffers,
                inputs: &inputs,
                mode,
                key: (self.random && mode == Mode::Train).then(|| t.index_input("key", [2])),
            };
            self.trace(t, call).outputs
        })
    }
}

impl Port {
    /// This input, for a batch.
    pub(crate) fn input<'t>(&self, t: &'t Tracer, examples: usize) -> Tensor<'t> {
        let of_batch = self.of_batch(examples);
        match self.kind {
            Kind::Float => t.input(&self.name, of_batch.shape),
            Kind::Index => t.index_input(&self.name, of_batch.shape),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("inputs", &self.inputs)
            .field("parameters", &self.layout().len())
            .finish_non_exhaustive()
    }
}
