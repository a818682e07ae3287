//! Runs the steps of a sign-in.

use std::io::IsTerminal;

use super::error::LoginError;
use super::{browser, launcher, paste};
use crate::cli::LoginArgs;
use crate::commands::error::Error;
use crate::commands::output::print_line;
use crate::config::{Config, ConfigError, ProcessEnvironment};
use crate::http::Client;
use crate::model::SourceName;
use crate::providers::{Registry, SignInError, SignInService};

/// Signs in to a source, or signs out.
///
/// # Errors
/// The configuration is invalid, or the sign-in failed.
pub(crate) fn run(arguments: &LoginArgs) -> Result<(), Error> {
    let config = Config::load_for_login(&arguments.overrides(), &ProcessEnvironment)?;
    let client = Client::trusting(config.ca_certificates.as_der(), config.connections)?;
    let Some(source) = config.sources.first() else { return Ok(()) };
    let Some(service) = Registry::default().sign_in_service(source, &client) else {
        let source_name = source.name.clone();
        return Err(ConfigError::LoginNotNeeded {
            source_name,
            credential: "the configured credential".into(),
            app: None,
        }
        .into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| LoginError::System { action: "start the runtime", source })?;
    let result = match arguments.forget {
        true => runtime.block_on(sign_out(&source.name, &service)),
        false => runtime.block_on(sign_in(arguments, &source.name, &service)),
    };
    // A pending read of standard input must not block the exit.
    runtime.shutdown_background();
    Ok(result?)
}

async fn sign_out(source: &SourceName, service: &SignInService) -> Result<(), LoginError> {
    if service.forget().await.map_err(sign_in_error(source))? {
        print_line(format_args!(
            "Signed out of {source} on this machine.\nTo revoke the permission of the app, remove \
             the app in your account."
        ));
    } else {
        print_line(format_args!("Not signed in to {source}."));
    }
    Ok(())
}

async fn sign_in(
    arguments: &LoginArgs,
    source: &SourceName,
    service: &SignInService,
) -> Result<(), LoginError> {
    service.check_storage().await.map_err(sign_in_error(source))?;
    // The port must be open before the browser is redirected to it.
    let listener =
        if arguments.paste { None } else { Some(browser::listen(arguments.port).await?) };
    let redirect = format!("http://127.0.0.1:{}/", arguments.port);
    let authorization_request =
        service.authorization_request(&redirect).map_err(sign_in_error(source))?;
    print_line(format_args!(
        "To sign in to {source}, open this URL and agree:\n\n  {}\n",
        authorization_request.url
    ));
    let (code, browser) = match listener {
        Some(listener) => {
            if std::io::stdout().is_terminal() {
                launcher::open_in_browser(authorization_request.url.as_str());
            }
            let (code, browser) =
                browser::wait_for_code(listener, &authorization_request, source).await?;
            (code, Some(browser))
        }
        None => (paste::read_code(&authorization_request, source).await?, None),
    };
    let result = service.exchange_code(authorization_request, code).await;
    if let Some(browser) = browser {
        browser.show_result(result.is_ok()).await;
    }
    let granted_scopes = result.map_err(sign_in_error(source))?;
    print_line(format_args!(
        "Signed in to {source}. The sign-in is stored in {}",
        service.path().display()
    ));
    if let Some(scopes) = granted_scopes {
        print_line(format_args!("Granted scopes: {}", printable_scopes(&scopes)));
    }
    Ok(())
}

/// Returns the scopes whose names are valid (RFC 6749, section 3.3). Other characters could control
/// the terminal.
fn printable_scopes(scopes: &str) -> String {
    let is_printable = |scope: &&str| scope.bytes().all(|byte| byte.is_ascii_graphic());
    scopes.split(' ').filter(is_printable).collect::<Vec<_>>().join(" ")
}

fn sign_in_error(source_name: &SourceName) -> impl Fn(SignInError) -> LoginError {
    let source_name = source_name.clone();
    move |source| LoginError::SignIn { source_name: source_name.clone(), source }
}
