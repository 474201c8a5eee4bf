//! An authority that signs certificates, and servers that show them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use herald_node::cli::dev::process::free_port;
use herald_node::storage::provision;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::own::{OwnPostgres, OwnRedis};
use super::redis_wire::redis;
use super::services;

pub struct Authority {
    /// PEM of what its certificates are checked with.
    pub ca_file: PathBuf,
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let name = format!("authority-{}", services::unique());
        let folder = services::folder().join(&name);
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_file = folder.join("ca.pem");
        fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { ca_file, folder, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host name or address, and its key: two files.
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // A client's name is its user's.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let number = services::unique();
        let (shown, own) = (self.folder.join(format!("{number}.pem")), self.folder.join(format!("{number}.key")));
        fs::write(&shown, certificate.pem()).unwrap();
        fs::write(&own, key.serialize_pem()).unwrap();
        (shown, own)
    }

    /// Lets a server of the test's own take encrypted connections only, from whoever shows a certificate of this authority's.
    pub async fn encrypt_postgres(&self, server: &OwnPostgres, name: &str, must_show: bool) {
        let (certificate, key) = self.sign(name);
        let data = server.options.directory.join("data");
        for (from, to) in [(&certificate, "server.pem"), (&key, "server.key"), (&self.ca_file, "ca.pem")] {
            hand_over(from, &data.join(to));
        }
        let admin = provision::connect(&server.options.url("postgres")).await.unwrap();
        for (setting, value) in
            [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "ca.pem"), ("ssl", "on")]
        {
            admin.batch_execute(&format!("alter system set {setting} = '{value}'")).await.unwrap();
        }
        let show = if must_show { " clientcert=verify-ca" } else { "" };
        fs::write(data.join("pg_hba.conf"), format!("hostssl all all 127.0.0.1/32 trust{show}\n")).unwrap();
        admin.batch_execute("select pg_reload_conf()").await.unwrap();
        super::eventually("the server refuses what is not encrypted", || async {
            provision::connect(&server.options.url("postgres")).await.is_err()
        })
        .await;
    }

    /// Lets a Redis of the test's own take encrypted connections too: its address for them.
    pub async fn encrypt_redis(&self, server: &OwnRedis, name: &str, must_show: bool) -> String {
        let (certificate, key) = self.sign(name);
        let port = free_port().unwrap();
        let show = if must_show { "yes" } else { "no" };
        let settings = [
            ("tls-cert-file", certificate.to_str().unwrap()),
            ("tls-key-file", key.to_str().unwrap()),
            ("tls-ca-cert-file", self.ca_file.to_str().unwrap()),
            ("tls-auth-clients", show),
            ("tls-port", &port.to_string()),
        ];
        let mut command = vec!["CONFIG", "SET"];
        command.extend(settings.iter().flat_map(|(name, value)| [*name, *value]));
        assert_eq!(redis(&server.url(), &command).await, ["OK"]);
        format!("rediss://{name}:{port}")
    }
}

/// A copy that only the owner of the folder may read.
fn hand_over(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    let folder = fs::metadata(to.parent().unwrap()).unwrap();
    chown(to, Some(folder.uid()), Some(folder.gid())).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
}
