//! `meetfs login`: somebody permits a source in a browser.
//!
//! Enters: the name of a source. Leaves: a sign-in on disk. [`browser`] waits for the browser to come back, [`pasted`]
//! reads what a person brings from one elsewhere. The exchange and the keeping are the providers' affair.

mod browser;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod pasted;

use std::io::IsTerminal;

use secrecy::SecretString;

use super::say;
use crate::cli::LoginArgs;
use crate::commands::error::Error;
use crate::config::{Config, ConfigError, ProcessEnvironment};
use crate::http::Client;
use crate::model::SourceName;
use crate::providers::{Registry, SignInError, SignInService};

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The port cannot be had.
    #[error(
        "port {port} cannot be listened on ({cause}); give another one with --port, and to the app as well"
    )]
    Port {
        /// Which.
        port: u16,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The browser came back without a permission.
    #[error(
        "{source_name} was not permitted in the browser ({why}); run this again to ask once more"
    )]
    Refused {
        /// Which.
        source_name: SourceName,
        /// The provider's word.
        why: String,
    },
    /// Nobody came.
    #[error("nobody came back from the browser within {} minutes; run this again, with --paste if the browser is on another machine", .minutes)]
    Nobody {
        /// How long was waited.
        minutes: u64,
    },
    /// What was pasted is nothing that a browser brings.
    #[error(
        "{0}; run this again and paste the whole address that the browser shows after you agreed, even if its page cannot be opened"
    )]
    Pasted(&'static str),
    /// A code was pasted without the state of its question.
    #[error(
        "a code alone does not say which sign-in it is of; run this again and paste the whole address that the browser shows after you agreed or, where it shows a code and no address, `code=CODE&state=STATE` with the state of the address to open"
    )]
    CodeAlone,
    /// The exchange.
    #[error("signing in to {source_name} failed: {cause}")]
    SignIn {
        /// Which.
        source_name: SourceName,
        /// Why.
        cause: SignInError,
    },
    /// The system would not give what every process needs.
    #[error("{what} failed: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        cause: std::io::Error,
    },
}

/// Runs `meetfs login`.
///
/// # Errors
/// The configuration, or no permission was given.
pub fn login(arguments: &LoginArgs) -> Result<(), Error> {
    let settings = Config::load_for_login(&arguments.overrides(), &ProcessEnvironment)?;
    let client = Client::new(settings.connections)?;
    let Some(source) = settings.sources.first() else { return Ok(()) };
    let Some(desk) = Registry::default().sign_in_service(source, &client) else {
        let source_name = source.name.clone();
        return Err(
            ConfigError::LoginNotNeeded { source_name, with: "what is configured".into() }.into()
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| LoginError::System { what: "starting", cause })?;
    let done = match arguments.forget {
        true => runtime.block_on(forget(&source.name, &desk)),
        false => runtime.block_on(sign_in(arguments, &source.name, &desk)),
    };
    // A line that nobody has pasted yet must not hold the process up.
    runtime.shutdown_background();
    Ok(done?)
}

async fn forget(source: &SourceName, desk: &SignInService) -> Result<(), LoginError> {
    let was_there = desk.forget().await.map_err(failed(source))?;
    let line = match was_there {
        true => format!(
            "the sign-in of {source} is removed from this machine; the app stays permitted until you remove it in your account there"
        ),
        false => format!("nobody was signed in to {source}"),
    };
    say(std::io::stdout(), format_args!("{line}"));
    Ok(())
}

async fn sign_in(
    arguments: &LoginArgs,
    source: &SourceName,
    desk: &SignInService,
) -> Result<(), LoginError> {
    desk.prepare().await.map_err(failed(source))?;
    // Listened on before the browser is told of it.
    let listener =
        if arguments.paste { None } else { Some(browser::listen(arguments.port).await?) };
    let redirect = format!("http://127.0.0.1:{}/", arguments.port);
    let consent = desk.ask(&redirect).map_err(failed(source))?;
    say(
        std::io::stdout(),
        format_args!(
            "To sign in to {source}, open this address and agree:\n\n  {}\n",
            consent.address
        ),
    );
    let (code, browser): (SecretString, _) = match listener {
        Some(listener) => {
            if std::io::stdout().is_terminal() {
                // The address is on the screen, whatever comes of it.
                let _a_browser_or_none = open::that_detached(consent.address.as_str());
            }
            let (code, browser) = browser::code(listener, &consent, source).await?;
            (code, Some(browser))
        }
        None => (pasted::code(&consent, source).await?, None),
    };
    let finished = desk.finish(consent, code).await;
    if let Some(browser) = browser {
        browser.hear(finished.is_ok()).await;
    }
    let permitted = finished.map_err(failed(source))?;
    say(
        std::io::stdout(),
        format_args!("Signed in to {source}; kept in {}", desk.path().display()),
    );
    if let Some(scopes) = permitted {
        say(std::io::stdout(), format_args!("Permitted: {}", names(&scopes)));
    }
    Ok(())
}

/// The scopes of a reply that are names (RFC 6749, 3.3), for a terminal takes other characters for commands.
fn names(scopes: &str) -> String {
    let is_name = |scope: &&str| scope.bytes().all(|byte| byte.is_ascii_graphic());
    scopes.split(' ').filter(is_name).collect::<Vec<_>>().join(" ")
}

fn failed(source: &SourceName) -> impl Fn(SignInError) -> LoginError {
    let source_name = source.clone();
    move |cause| LoginError::SignIn { source_name: source_name.clone(), cause }
}
