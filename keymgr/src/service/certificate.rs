//! Transport certificates of nodes: made at enrolment, and anew for the key that a connection has proved. What was issued
//! is in the log before the node has it.

use super::link::{CERTIFICATE_DAYS, Line, LinkProblem};
use super::manager::Manager;
use crate::core::Refusal;
use crate::core::input::Input;
use crate::house::certificate_end;
use crate::person::spki_digest;
use crate::writer::SubmitError;
use keylink::envelope::Signed;
use keylink::message::{Audience, CERTIFICATE_RENEW_MS, Renew, Renewed};
use keylink::wire::Blob;
use keylink::{Digest, NodeId};

impl Manager {
    /// A node wants its certificate made anew.
    pub async fn renew(&self, line: Line, body: &[u8]) -> Result<Vec<u8>, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let signed = Signed::parse(body)?;
        let claimed: Renew = signed.peek()?;
        line.carries(claimed.node)?;
        self.listen(line, 0)?;
        let found = self.view(|core| Some((core.node(&line.node)?.clone(), core.epoch())));
        let (node, epoch) = found.ok_or(LinkProblem::Unknown)?;
        let asked: Renew = signed.open(&node.link.key)?;
        asked.head.judge(kmc, Audience::Kmc, 1, now)?;
        if !node.is_served() {
            return Err(LinkProblem::Refused(SubmitError::Refused(Refusal::Suspended)));
        }
        // By the one in use: an answer may have been lost.
        if line.until_utc_ms.saturating_sub(now) > CERTIFICATE_RENEW_MS {
            return Err(LinkProblem::Early);
        }
        let certificate =
            self.issue_certificate(&asked.csr.0, line.node, now).map_err(|_| LinkProblem::Key)?;
        if spki_digest(&certificate) != Some(line.channel) {
            return Err(LinkProblem::Key);
        }
        self.certified(line.node, &certificate).await?;
        let authority = self.0.parts.authority.certificate().to_vec();
        let renewed = Renewed {
            head: self.head(kmc, line.node, epoch, 0, now),
            request: signed.hash(),
            certificates: vec![Blob(certificate), Blob(authority)],
        };
        Ok(self.sign(&renewed).to_bytes())
    }

    pub(super) fn issue_certificate(
        &self,
        csr: &[u8],
        node: NodeId,
        now: u64,
    ) -> Result<Vec<u8>, LinkProblem> {
        let issued = self.0.parts.authority.certify(csr, &node.to_string(), now, CERTIFICATE_DAYS);
        issued.map_err(|error| LinkProblem::Unready(error.to_string()))
    }

    // Written before the node has it.
    pub(super) async fn certified(&self, node: NodeId, certificate: &[u8]) -> Result<(), LinkProblem> {
        let until_utc_ms = certificate_end(certificate).unwrap_or(0);
        let certificate = Digest::of(certificate);
        self.submit(None, Input::Certified { node, certificate, until_utc_ms }).await?;
        Ok(())
    }

    // What a node has is what it shows. A request of another connection may have said the same.
    pub(super) async fn note_certificate(&self, line: Line) {
        let known = self.view(|core| core.node(&line.node).map(|node| node.certificate_until_utc_ms));
        if known.is_some_and(|known| known < line.until_utc_ms) {
            let (node, until_utc_ms) = (line.node, line.until_utc_ms);
            let _ = self.submit(None, Input::CertificateShown { node, until_utc_ms }).await;
        }
    }
}
