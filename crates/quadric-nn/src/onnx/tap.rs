//! Which parameters a product of a graph is with, for those who look at what goes through it.

use super::attribute::Attribute;
use super::graph::{Graph, Id, Node, Piece};
use super::site::Site;

/// A parameter that a node reads, directly or transposed.
#[derive(Clone, Copy)]
pub(super) struct Used<'a> {
    pub(super) name: &'a str,
    /// Its own shape.
    pub(super) shape: &'a [usize],
    /// Whether its last axis comes first: a matrix transposed, or a kernel `(kh, kw, in, out)` that is read as `(out, in, kh, kw)`.
    pub(super) exchanged: bool,
}

/// Whether a node brings the last axis of a matrix or of a kernel to the front.
fn exchanges(node: &Node, piece: &Piece) -> bool {
    let reversed: &[i64] = match piece.shape.len() {
        2 => &[1, 0],
        3 => &[2, 1, 0],
        4 => &[3, 2, 0, 1],
        _ => return false,
    };
    match node.attributes.get("perm") {
        None => piece.shape.len() < 4,
        Some(Attribute::Integers(order)) => order[..] == *reversed,
        Some(_) => false,
    }
}

impl Graph {
    /// The parameter that a value is, perhaps under another name or transposed.
    fn used(&self, id: Id) -> Option<Used<'_>> {
        if let Some(piece) = self.parameters.iter().find(|p| p.id == id) {
            return Some(Used {
                name: &self.names[id],
                shape: &piece.shape,
                exchanged: false,
            });
        }
        let makes = |n: &&Node| n.outputs.first() == Some(&Some(id));
        let maker = self.nodes.iter().find(makes)?;
        let from = maker.inputs.first().copied().flatten()?;
        match maker.entry.name {
            "Identity" => self.used(from),
            "Transpose" => {
                let piece = self.parameters.iter().find(|p| p.id == from)?;
                exchanges(maker, piece).then(|| Used {
                    name: &self.names[from],
                    shape: &piece.shape,
                    exchanged: true,
                })
            }
            _ => None,
        }
    }

    /// The only node that reads a value, if that is no output.
    fn reader(&self, id: Id) -> Option<&Node> {
        let mut readers = self.nodes.iter().filter(|n| n.inputs.contains(&Some(id)));
        let reader = readers.next()?;
        (readers.next().is_none() && !self.outputs.contains(&id)).then_some(reader)
    }
}

impl<'a> Site<'a, '_> {
    /// The parameter that an input is.
    pub(super) fn used(&self, i: usize) -> Option<Used<'a>> {
        let id = self.node.inputs.get(i).copied().flatten()?;
        self.graph.used(id)
    }

    /// The parameter of so many entries that an input is, if it adds a number for each of as many columns.
    pub(super) fn used_bias(&self, i: usize, columns: usize) -> Option<&'a str> {
        bias(self.used(i)?, columns)
    }

    /// The same for what the next node adds to the only output.
    pub(super) fn bias_behind(&self, columns: usize) -> Option<&'a str> {
        let id = self.node.outputs.first().copied().flatten()?;
        let reader = self.graph.reader(id).filter(|n| n.entry.name == "Add")?;
        let mut others = reader.inputs.iter().flatten().filter(|o| **o != id);
        bias(self.graph.used(*others.next()?)?, columns)
    }
}

fn bias(used: Used<'_>, columns: usize) -> Option<&str> {
    let is_row = used.shape.last() == Some(&columns);
    let is_single = used.shape.iter().product::<usize>() == columns;
    (is_row && is_single && !used.exchanged).then_some(used.name)
}
