//! The one error type of the workspace: opaque, with a kind, the place in a file, and the source chain.

use std::fmt;

/// `Result` with the workspace's [`Error`].
pub type Result<V> = std::result::Result<V, Error>;

/// What went wrong, in the coarse classes a caller can act on. The `quadric` command maps them to exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration or function argument is out of its documented range.
    Argument,
    /// Two shapes do not fit together.
    Shape,
    /// A value that must be finite is NaN or infinite.
    NonFinite,
    /// A data file, or data in memory, cannot be used as it is.
    Data,
    /// A binary container (model, checkpoint, NPY) violates its format.
    Malformed,
    /// The operating system refused to read or write.
    Io,
    /// A method needs a capability that the problem does not offer.
    Capability,
    /// A memory or time limit forbids the work.
    Resource,
    /// An evaluation, time or interrupt limit stopped the work in the middle of a step.
    Stopped,
    /// A factorisation or recurrence broke down.
    Numeric,
    /// A bug in this library.
    Internal,
}

impl ErrorKind {
    /// The kind as it is spelled in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Argument => "Argument",
            Self::Shape => "Shape",
            Self::NonFinite => "NonFinite",
            Self::Data => "Data",
            Self::Malformed => "Malformed",
            Self::Io => "Io",
            Self::Capability => "Capability",
            Self::Resource => "Resource",
            Self::Stopped => "Stopped",
            Self::Numeric => "Numeric",
            Self::Internal => "Internal",
        }
    }
}

/// A position in a text file; the first line and the first byte of a line are 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, counted from 1; 0 where the file has no lines.
    pub line: u64,
    /// Byte within the line, counted from 1; 0 when the whole line is meant.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// An error of any Quadric crate.
///
/// The fields are private so that they can grow; ask [`Error::kind`] and the predicates.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            place: None,
            hint: None,
            source: None,
        }))
    }

    /// An argument named `name` was `found`, and `expected` says what it may be.
    pub fn argument(name: &str, found: impl fmt::Display, expected: &str) -> Self {
        Self::new(
            ErrorKind::Argument,
            format!("`{name}` is {found}; expected {expected}"),
        )
    }

    /// The shape of `what` is `found` where `expected` is needed.
    pub fn shape(what: &str, found: impl fmt::Debug, expected: impl fmt::Debug) -> Self {
        Self::new(
            ErrorKind::Shape,
            format!("{what} has shape {found:?}; expected {expected:?}"),
        )
    }

    /// `what` at `index` holds the non-finite value `value`.
    pub fn non_finite(what: &str, index: impl fmt::Debug, value: f64) -> Self {
        Self::new(
            ErrorKind::NonFinite,
            format!("{what} at {index:?} is {value}; every value must be finite"),
        )
    }

    /// Data that cannot be used, not tied to a place in a file.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// Data that cannot be used, found at a place in a file.
    pub fn data_at(place: Place, message: impl Into<String>) -> Self {
        let mut e = Self::new(ErrorKind::Data, message);
        e.0.place = Some(place);
        e
    }

    /// A container that violates its format.
    pub fn malformed(file: &str, message: impl Into<String>) -> Self {
        let mut e = Self::new(ErrorKind::Malformed, message);
        e.0.place = Some(Place {
            file: file.to_owned(),
            line: 0,
            column: 0,
        });
        e
    }

    /// The operating system refused `what` on `path`.
    pub fn io(what: &str, path: impl fmt::Display, source: std::io::Error) -> Self {
        let mut e = Self::new(ErrorKind::Io, format!("cannot {what} `{path}`"));
        e.0.source = Some(Box::new(source));
        e
    }

    /// Adds advice that follows the message.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Puts `context` in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without place, hint and source.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in a file, when known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Advice, when there is any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// True if a budget or an interrupt ended the work in the middle of a step.
    pub fn is_stopped(&self) -> bool {
        self.0.kind == ErrorKind::Stopped
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn std::error::Error + 'static))
    }
}
