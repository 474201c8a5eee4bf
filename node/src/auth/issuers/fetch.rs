//! Fetching a key set: bounded in time and size, without following anybody elsewhere.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};

use super::issuer::KEY_SET_BYTES_MAX;

/// From connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no answer")]
    Failed(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is too large")]
    TooLarge,
}

/// Where a key set is.
#[derive(Debug)]
pub struct Address {
    url: Url,
    client: OnceLock<Client>,
}

impl Address {
    pub fn parse(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let is_known = matches!(url.scheme(), "https" | "http") && url.has_host();
        is_known.then(|| Self { url, client: OnceLock::new() })
    }

    pub async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let request =
            self.client()?.get(self.url.clone()).header("accept", "application/jwk-set+json, application/json");
        let mut response = request.send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > KEY_SET_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.builder().build()?;
        Ok(self.client.get_or_init(|| client))
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).pool_max_idle_per_host(0);
        if self.url.scheme() == "https" {
            // By the machine's own certificates.
            builder.https_only(true)
        } else {
            // A machine without any can fetch this all the same.
            builder.tls_certs_only([])
        }
    }
}
