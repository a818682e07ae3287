//! A value with its origin.

use std::ffi::OsString;

use super::error::ConfigError;
use super::origin::Origin;
use super::value_problem::ValueProblem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Setting<T> {
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// Validates and converts the value with `validate`. An error names the origin of the value.
    pub(super) fn validate<U>(
        self,
        validate: impl FnOnce(T) -> Result<U, ValueProblem>,
    ) -> Result<U, ConfigError> {
        validate(self.value).map_err(|problem| ConfigError::Value {
            origin: self.origin,
            problem: Box::new(problem),
        })
    }
}

impl Setting<OsString> {
    /// Converts the value to UTF-8 text.
    pub(super) fn into_text(self) -> Result<Setting<String>, ConfigError> {
        let origin = self.origin.clone();
        let value =
            self.validate(|value| value.into_string().map_err(|_| ValueProblem::NotUtf8))?;
        Ok(Setting { value, origin })
    }
}
