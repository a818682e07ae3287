//! The redirect that ends the authorization in the browser.

use secrecy::SecretString;
use url::form_urlencoded;

use super::error::LoginError;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// Maximum length of an error code that is printed.
const MAX_ERROR_CODE_LENGTH: usize = 64;

/// The fields of the redirect URL (RFC 6749, section 4.1.2).
#[derive(Default)]
pub(crate) struct Redirect {
    code: Option<SecretString>,
    state: Option<String>,
    error: Option<String>,
}

impl Redirect {
    pub(crate) fn parse_query(query: &str) -> Self {
        let mut redirect = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" if !value.is_empty() => {
                    redirect.code = Some(SecretString::from(value.into_owned()))
                }
                "state" => redirect.state = Some(value.into_owned()),
                // `error_description` is ignored. It is meant for developers, and a web page that
                // sends the browser here can write anything in it.
                "error" => redirect.error = Some(printable_error_code(&value)),
                _ => {}
            }
        }
        redirect
    }

    /// Returns the code, or `None` if the redirect does not answer `authorization_request`.
    ///
    /// # Errors
    /// [`LoginError::Refused`]
    pub(crate) fn code(
        self,
        authorization_request: &AuthorizationRequest,
        source: &SourceName,
    ) -> Result<Option<SecretString>, LoginError> {
        if !self.state.is_some_and(|state| authorization_request.has_state(&state)) {
            return Ok(None);
        }
        match (self.code, self.error) {
            (Some(code), _) => Ok(Some(code)),
            (None, Some(reason)) => {
                Err(LoginError::Refused { source_name: source.clone(), reason })
            }
            (None, None) => Ok(None),
        }
    }
}

/// Removes all characters that do not occur in codes such as `access_denied`. Other characters must
/// not reach the terminal.
fn printable_error_code(error: &str) -> String {
    error
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(MAX_ERROR_CODE_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn query_is_parsed_and_errors_are_printable() {
        let redirect = Redirect::parse_query(
            "code=a%2Fb&state=s&error=x&error=access_denied%1b[31m%0a&other=1",
        );
        assert_eq!(redirect.code.unwrap().expose_secret(), "a/b");
        assert_eq!(redirect.state.as_deref(), Some("s"));
        assert_eq!(redirect.error.as_deref(), Some("access_denied31m"));
        assert!(Redirect::parse_query("code=&state=s").code.is_none());
    }
}
