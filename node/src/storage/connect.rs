//! Connections to PostgreSQL as their URL describes them: where to, and with TLS where it says so.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StorageError;

/// The background half of a connection, encrypted or not.
pub type Background = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Where a database is, and how it is to be connected to.
#[derive(Clone)]
pub struct Address {
    pub config: Config,
    pub tls: MakeRustlsConnect,
}

impl Address {
    /// `postgres://user:password@host:port/database`, several hosts by commas. Of libpq's settings of TLS in the query it knows `sslmode`
    /// (`disable`, by default, or `verify-full`), `sslrootcert`, `sslcert` and `sslkey`.
    pub fn parse(url: &str) -> Result<Self, StorageError> {
        let (rest, settings) = split_settings(url)?;
        let mut config = Config::from_str(&rest).map_err(StorageError::misconfigured)?;
        let tls = match settings.mode.as_deref() {
            None | Some("disable") if settings.names_files() => {
                return Err(StorageError::misconfigured("certificates are named, but not sslmode=verify-full"));
            }
            None | Some("disable") => {
                config.ssl_mode(SslMode::Disable);
                MakeRustlsConnect::new(client_config(RootCertStore::empty(), None)?)
            }
            // There is no encrypting to whomever: it would protect from nobody who can stand in between.
            Some("require" | "verify-full") => {
                config.ssl_mode(SslMode::Require);
                settings.connector()?
            }
            Some(other) => {
                let problem = format!("sslmode={other}: it must be `disable` or `verify-full`");
                return Err(StorageError::misconfigured(problem));
            }
        };
        Ok(Self { config, tls })
    }

    pub async fn connect(&self) -> Result<(Client, Background), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// What a URL says of TLS.
#[derive(Debug, Default)]
struct Settings {
    mode: Option<String>,
    /// Who may have signed the server's certificate, PEM; without it, or `system`: those whom this machine trusts.
    root_file: Option<String>,
    certificate_file: Option<String>,
    key_file: Option<String>,
}

impl Settings {
    const fn names_files(&self) -> bool {
        self.root_file.is_some() || self.certificate_file.is_some() || self.key_file.is_some()
    }

    fn connector(&self) -> Result<MakeRustlsConnect, StorageError> {
        let roots = match self.root_file.as_deref() {
            None | Some("system") => system_roots()?,
            Some(file) => roots_of(file)?,
        };
        let identity = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => Some((certificates_of(certificate)?, key_of(key)?)),
            (None, None) => None,
            _ => return Err(StorageError::misconfigured("sslcert and sslkey go together")),
        };
        Ok(MakeRustlsConnect::new(client_config(roots, identity)?))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_config(roots: RootCertStore, identity: Option<Identity>) -> Result<ClientConfig, StorageError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(StorageError::misconfigured)?
        .with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificates, key)) => {
            builder.with_client_auth_cert(certificates, key).map_err(StorageError::misconfigured)
        }
    }
}

fn system_roots() -> Result<RootCertStore, StorageError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(StorageError::misconfigured("this machine trusts nobody: name a file by sslrootcert"));
    }
    Ok(roots)
}

fn roots_of(file: &str) -> Result<RootCertStore, StorageError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(file)? {
        roots.add(certificate).map_err(|error| StorageError::misconfigured(format!("{file}: {error}")))?;
    }
    Ok(roots)
}

fn certificates_of(file: &str) -> Result<Vec<CertificateDer<'static>>, StorageError> {
    let bytes = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(StorageError::misconfigured(format!("{file}: there is no certificate in it"))),
        Err(error) => Err(StorageError::misconfigured(format!("{file}: {error}"))),
    }
}

fn key_of(file: &str) -> Result<PrivateKeyDer<'static>, StorageError> {
    PrivateKeyDer::from_pem_slice(&read(file)?)
        .map_err(|error| StorageError::misconfigured(format!("{file}: no private key: {error}")))
}

fn read(file: &str) -> Result<Vec<u8>, StorageError> {
    fs::read(Path::new(file)).map_err(|error| StorageError::misconfigured(format!("{file}: {error}")))
}

/// The URL without its settings of TLS, and these. The driver knows few of them.
fn split_settings(url: &str) -> Result<(String, Settings), StorageError> {
    let mut settings = Settings::default();
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), settings)) };
    let mut others: Vec<&str> = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match key {
            "sslmode" => &mut settings.mode,
            "sslrootcert" => &mut settings.root_file,
            "sslcert" => &mut settings.certificate_file,
            "sslkey" => &mut settings.key_file,
            _ => {
                others.push(pair);
                continue;
            }
        };
        let value = percent_decode(value);
        *place = Some(value.ok_or_else(|| StorageError::misconfigured(format!("{key} cannot be read")))?);
    }
    let rest = if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) };
    Ok((rest, settings))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let error = Address::parse(url).err().expect(url);
        std::error::Error::source(&error).expect("a cause").to_string()
    }

    #[test]
    fn a_url_says_whether_and_whom_to_trust() {
        let plain = Address::parse("postgres://u@a:1,b:2/d?target_session_attrs=read-write").unwrap();
        assert_eq!((plain.config.get_ssl_mode(), plain.config.get_ports()), (SslMode::Disable, &[1, 2][..]));
        for mode in ["require", "verify-full"] {
            let url = format!("postgres://u@h/d?sslmode={mode}&application_name=x");
            let found = Address::parse(&url).unwrap().config;
            assert_eq!((found.get_ssl_mode(), found.get_application_name()), (SslMode::Require, Some("x")));
        }
        assert!(refused("postgres://u@h/d?sslmode=prefer").contains("`disable` or `verify-full`"));
        assert!(refused("postgres://u@h/d?sslrootcert=/ca.pem").contains("sslmode=verify-full"));
        assert!(
            refused("postgres://u@h/d?sslmode=verify-full&sslrootcert=/no/such%20ca.pem").contains("/no/such ca.pem")
        );
        assert!(refused("postgres://u@h/d?sslmode=verify-full&sslcert=/c.pem").contains("go together"));
        assert!(refused("postgres://u@h/d?sslmode=%zz").contains("sslmode cannot be read"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = format!("postgres://u@h/d?sslmode=verify-full&sslrootcert={}", file.path().display());
        assert!(refused(&empty).contains("no certificate"));
    }
}
