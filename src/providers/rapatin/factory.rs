//! Opens Rapatin sources.

use std::sync::Arc;

use super::{Rapatin, RapatinOptions};
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory};

/// Opens Rapatin sources.
#[derive(Clone, Copy, Debug)]
pub struct RapatinFactory;

impl ProviderFactory for RapatinFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Rapatin(rapatin) = &source.provider else { return None };
        let rapatin = rapatin.clone();
        let options = RapatinOptions {
            source: source.name.clone(),
            credential: rapatin.credential,
            meetings: rapatin.meetings,
            api_url: rapatin.api_url,
            download_hosts: source.download_hosts.clone(),
        };
        Some(Arc::new(Rapatin::new(options, client.clone())))
    }
}
