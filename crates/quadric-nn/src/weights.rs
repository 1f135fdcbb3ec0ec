//! Parameters and buffers in safetensors files, under their own names.

use crate::Network;
use quadric_core::{Container, Layout, Overwrite, Role, Segment, Tensor, read_file};
use quadric_linalg::{Error, ErrorKind, Place, Result, Scalar};
use std::collections::{BTreeSet, btree_map::Entry};
use std::path::Path;

const KIND: &str = "weights";

/// The parameters and buffers of a network.
#[derive(Clone, PartialEq, Debug)]
pub struct Weights<T> {
    /// All parameters, as in [`Network::layout`].
    pub parameters: Vec<T>,
    /// All buffers, as in [`Network::buffers`].
    pub buffers: Vec<T>,
}

/// The order of the axes of weights in a file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AxisOrder {
    /// As they are here: `(inputs, outputs)`, `(kh, kw, inputs, outputs)`.
    #[default]
    Own,
    /// As in PyTorch: `(outputs, inputs)`, `(outputs, inputs, kh, kw)`. Entries named `num_batches_tracked` are passed over.
    ///
    /// A dense layer after the pixels of an image expects them by channels there, here by rows; its weights are not
    /// rearranged.
    Torch,
}

impl AxisOrder {
    /// The shape of a piece in the file.
    fn shape(self, piece: &Segment) -> Vec<usize> {
        match &piece.shape[..] {
            [front @ .., inputs, outputs] if self.turns(piece) => {
                [&[*outputs, *inputs], front].concat()
            }
            own => own.to_vec(),
        }
    }

    fn turns(self, piece: &Segment) -> bool {
        self == Self::Torch && piece.role == Role::Weight && piece.shape.len() >= 2
    }

    /// Where entry `at` of a piece is in the file.
    fn position(self, piece: &Segment, at: usize) -> usize {
        match &piece.shape[..] {
            [front @ .., inputs, outputs] if self.turns(piece) => {
                let window: usize = front.iter().product();
                let (rest, output) = (at / outputs, at % outputs);
                (output * inputs + rest % inputs) * window + rest / inputs
            }
            _ => at,
        }
    }
}

/// How a file does not fit a network.
#[derive(Default)]
struct Faults {
    missing: Vec<String>,
    unexpected: Vec<String>,
    wrong: Vec<String>,
}

impl<T: Scalar> Weights<T> {
    /// What a network starts from.
    pub fn initial(network: &Network, seed: u64) -> Self {
        Self {
            parameters: network.initial(seed),
            buffers: network.initial_buffers(),
        }
    }

    /// The content of a file, in the axis order of this library.
    ///
    /// # Errors
    ///
    /// If the lengths are not those of the network, a number is not finite, or a parameter has the name of a buffer.
    pub fn to_bytes(&self, network: &Network) -> Result<Vec<u8>> {
        self.container(network)?.to_bytes()
    }

    /// Writes a file, complete or not at all.
    ///
    /// # Errors
    ///
    /// As [`to_bytes`](Self::to_bytes), and if the file cannot be written.
    pub fn write(&self, network: &Network, path: &Path, overwrite: Overwrite) -> Result<()> {
        self.container(network)?.write(path, overwrite)
    }

    /// Refuses weights of other lengths than those of the network, and numbers that are not finite.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        for (what, layout, flat) in [
            ("parameters", network.layout(), &self.parameters),
            ("buffers", network.buffers(), &self.buffers),
        ] {
            if flat.len() != layout.len() {
                return Err(Error::shape(what, [flat.len()], [layout.len()]));
            }
            for piece in layout.segments() {
                all_finite(&piece.name, &flat[piece.range()])?;
            }
        }
        Ok(())
    }

    fn container(&self, network: &Network) -> Result<Container> {
        self.check(network)?;
        let mut container = Container::new(KIND);
        for (layout, flat) in [
            (network.layout(), &self.parameters),
            (network.buffers(), &self.buffers),
        ] {
            for piece in layout.segments() {
                let values = &flat[piece.range()];
                match container.tensors.entry(piece.name.clone()) {
                    Entry::Occupied(_) => {
                        let text = format!("a parameter and a buffer are named `{}`", piece.name);
                        return Err(Error::new(ErrorKind::Argument, text));
                    }
                    Entry::Vacant(place) => place.insert(tensor(&piece.shape, values)),
                };
            }
        }
        Ok(container)
    }

    /// Reads a file for a network.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and if the file cannot be read.
    pub fn read(network: &Network, path: &Path, order: AxisOrder) -> Result<Self> {
        let bytes = read_file(path)?;
        Self::from_bytes(network, &bytes, &path.display().to_string(), order)
    }

    /// Reads the content of a file, whose name is for messages. Numbers may be `f64`, `f32`, `f16` or `bf16`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it is no complete safetensors file ([`Container::from_bytes`]) or one of another kind,
    /// [`ErrorKind::Data`] with all names that are missing, unexpected, or of another shape or type, [`ErrorKind::NonFinite`] if
    /// a number is not finite.
    pub fn from_bytes(
        network: &Network,
        bytes: &[u8],
        file: &str,
        order: AxisOrder,
    ) -> Result<Self> {
        refuse_pickles(bytes, file)?;
        let container = Container::from_bytes(bytes, file)?;
        if let Some(kind) = container.kind().filter(|k| *k != KIND) {
            let text = format!("the file is of kind `{kind}`; expected `{KIND}`");
            return Err(Error::malformed(file, text));
        }
        let mut faults = Faults::default();
        let mut left: BTreeSet<&str> = container.tensors.keys().map(String::as_str).collect();
        let mut read = |layout: &Layout| -> Result<Vec<T>> {
            let mut flat = vec![T::of(0.0); layout.len()];
            for piece in layout.segments() {
                left.remove(&piece.name[..]);
                let values = &mut flat[piece.range()];
                match container.tensors.get(&piece.name) {
                    None => faults.missing.push(format!("`{}`", piece.name)),
                    Some(found) => match copy(found, piece, order, values) {
                        Ok(()) => all_finite(&piece.name, values)
                            .map_err(|e| e.context(format!("`{file}`")))?,
                        Err(wrong) => faults.wrong.push(wrong),
                    },
                }
            }
            Ok(flat)
        };
        let parameters = read(network.layout())?;
        let buffers = read(network.buffers())?;
        let counts_batches = |name: &str| {
            let norm = name.strip_suffix("num_batches_tracked");
            let mean = norm.map(|norm| format!("{norm}running_mean"));
            mean.is_some_and(|m| order == AxisOrder::Torch && network.buffers().find(&m).is_some())
        };
        let unexpected = left.into_iter().filter(|name| !counts_batches(name));
        faults.unexpected = unexpected.map(|name| format!("`{name}`")).collect();
        faults.result(file)?;
        Ok(Self {
            parameters,
            buffers,
        })
    }
}

impl Faults {
    fn result(&self, file: &str) -> Result<()> {
        let parts = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("wrong", &self.wrong),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", names.join(", ")))
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        let place = Place {
            file: file.to_owned(),
            line: 0,
            column: 0,
        };
        let text = format!("the tensors do not fit the network; {}", parts.join("; "));
        Err(Error::data_at(place, text))
    }
}

/// The entries of a piece from those in a file, or what is wrong with these.
fn copy<T: Scalar>(
    found: &Tensor,
    piece: &Segment,
    order: AxisOrder,
    values: &mut [T],
) -> std::result::Result<(), String> {
    let (name, expected) = (&piece.name, order.shape(piece));
    if found.shape() != expected {
        let shape = found.shape();
        return Err(format!(
            "`{name}` of shape {shape:?}, expected {expected:?}"
        ));
    }
    let place = |at: usize| order.position(piece, at);
    let mut fill = |number: &dyn Fn(usize) -> f64| {
        for (at, v) in values.iter_mut().enumerate() {
            *v = T::of(number(place(at)));
        }
    };
    match found {
        Tensor::F32 { data, .. } => fill(&|at| f64::from(data[at])),
        Tensor::F64 { data, .. } => fill(&|at| data[at]),
        Tensor::U64 { .. } => return Err(format!("`{name}` of integers")),
    }
    Ok(())
}

fn all_finite<T: Scalar>(name: &str, values: &[T]) -> Result<()> {
    match values.iter().position(|v| !v.to_f64().is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::non_finite(
            &format!("`{name}`"),
            at,
            values[at].to_f64(),
        )),
    }
}

fn tensor<T: Scalar>(shape: &[usize], values: &[T]) -> Tensor {
    let (shape, numbers) = (shape.to_vec(), values.iter().map(|v| v.to_f64()));
    if T::NAME == f32::NAME {
        let data = numbers.map(|v| v as f32).collect();
        Tensor::F32 { shape, data }
    } else {
        let data = numbers.collect();
        Tensor::F64 { shape, data }
    }
}

/// Files of `torch.save` are archives or pickles.
fn refuse_pickles(bytes: &[u8], file: &str) -> Result<()> {
    if !bytes.starts_with(b"PK\x03\x04") && !matches!(bytes, [0x80, 2..=5, ..]) {
        return Ok(());
    }
    let hint = "pickles can run code when they are opened and are never read here; \
        safetensors.torch.save_file(model.state_dict(), \"model.safetensors\") writes a file that can be read";
    Err(Error::malformed(file, "an archive or a pickle, not a safetensors file").with_hint(hint))
}
