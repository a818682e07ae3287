//! Opens Rapatin sources.

use std::sync::Arc;

use super::Rapatin;
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory, SourceOptions};

/// Opens Rapatin sources.
#[derive(Clone, Copy, Debug)]
pub struct RapatinFactory;

impl ProviderFactory for RapatinFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Rapatin(config) = &source.provider else { return None };
        Some(Arc::new(Rapatin::new(SourceOptions::of(source, config), client.clone())))
    }
}
