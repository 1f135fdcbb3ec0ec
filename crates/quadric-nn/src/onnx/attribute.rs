//! Attributes of nodes.

use super::known::Known;
use super::proto::{self, attribute};
use super::tensors::{self, Directory};
use quadric_linalg::{Error, ErrorKind, Result};
use std::sync::Arc;

/// What is said about a node beside its inputs.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Float(f64),
    Integer(i64),
    Text(String),
    Array(Arc<Known>),
    Floats(Vec<f64>),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Attribute {
    /// # Errors
    ///
    /// If it is of a kind that no supported operator has, or its tensor cannot be read.
    pub(super) fn read(a: &proto::Attribute, directory: &Directory) -> Result<Self> {
        let floats = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
        let malformed = |text: &str| {
            let text = format!("attribute `{}` {text}", a.name);
            Error::new(ErrorKind::Malformed, text)
        };
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| malformed("is no valid text"))
        };
        Ok(match a.kind {
            attribute::FLOAT => Self::Float(f64::from(a.float)),
            attribute::INT => Self::Integer(a.int),
            attribute::TEXT => Self::Text(text(&a.text)?),
            attribute::TENSOR => {
                let tensor = a.tensor.as_ref();
                let tensor = tensor.ok_or_else(|| malformed("has no tensor"))?;
                Self::Array(Arc::new(tensors::read(tensor, directory)?))
            }
            attribute::FLOATS => Self::Floats(floats(&a.floats)),
            attribute::INTS => Self::Integers(a.ints.clone()),
            attribute::TEXTS => {
                let all: Result<_> = a.texts.iter().map(|t| text(t)).collect();
                Self::Texts(all?)
            }
            kind => {
                let text = format!(
                    "attribute `{}` is of kind {kind}, which is not supported",
                    a.name
                );
                return Err(Error::new(ErrorKind::Data, text));
            }
        })
    }
}
