//! PostgreSQL. The rows of one statement go into a Parquet file as they arrive, so that later passes see the same ones
//! and a long training keeps no connection open.

mod fault;
mod spool;
mod sql;
mod tls;
mod types;
mod url;

use std::path::Path;

use futures_util::TryStreamExt;
use tokio::runtime::Builder;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{Access, Files, Wanted};
use crate::data::config::{DataConfig, FileFormat};
use crate::data::error::DataError;
use fault::fault;
use spool::Spool;
use sql::Query;
use tls::Connector;
use url::Server;

/// Copies what the statement of `config` answers.
pub(crate) fn spool(
    config: &DataConfig,
    group: Option<&str>,
    access: &Access<'_>,
    folder: &Path,
) -> Result<Files, DataError> {
    let variable = config.url_env.as_deref().unwrap_or_default();
    let Some(url) = (access.environment)(variable) else {
        return Err(DataError::Config(format!(
            "data.url_env: the environment variable `{variable}` is not set; it holds postgresql://user:password@host/database"
        )));
    };
    let server = Server::parse(&url)
        .map_err(|reason| DataError::Config(format!("data.url_env: the URL in `{variable}`: {reason}")))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DataError::of_io("the database", &error))?;
    let path = folder.join("rows.parquet");
    let statement = runtime.block_on(copy(config, group, &server, access.wanted, &path))?;
    let origin = config.table.clone().unwrap_or_else(|| "query".to_owned());
    let origin = format!("postgresql:{}/{origin}", server.config.get_dbname().unwrap_or_default());
    Ok(Files { paths: vec![path], format: FileFormat::Parquet, origin, statement: Some(statement) })
}

async fn copy(
    config: &DataConfig,
    group: Option<&str>,
    server: &Server,
    wanted: Wanted,
    path: &Path,
) -> Result<String, DataError> {
    let client = connect(server).await?;
    let plain = client
        .prepare(&sql::plain(config))
        .await
        .map_err(|error| fault("the statement of data.table or data.query", &error))?;
    let query = Query::new(config, group, plain.columns())?;
    let statement = query.statement();
    let mut spool = Spool::create(path, &query.columns)?;
    if wanted == Wanted::Columns {
        // What is wrong with it, the server says now.
        client.prepare(&statement).await.map_err(|error| fault("the statement", &error))?;
        spool.finish()?;
        return Ok(statement);
    }
    let rows = client
        .query_raw(&statement, std::iter::empty::<&(dyn ToSql + Sync)>())
        .await
        .map_err(|error| fault("the statement", &error))?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(|error| fault("the statement", &error))? {
        spool.push(&row)?;
    }
    spool.finish()?;
    Ok(statement)
}

async fn connect(server: &Server) -> Result<Client, DataError> {
    let tls = Connector::new(server.trust, server.authorities.as_deref())?;
    let (client, connection) =
        server.config.connect(tls).await.map_err(|error| fault("connecting", &error))?;
    // It ends with the client, whose calls report what went wrong with it.
    let _connection = sidegate::task::spawn("database", async move {
        let _ = connection.await;
    });
    // Whatever the statement says, it changes nothing.
    client
        .batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        .await
        .map_err(|error| fault("a read-only session", &error))?;
    Ok(client)
}
