// jmap-jam does its round: sign in, list, query and get, upload, download; with "write", a draft's whole life as well.
// JMAP_URL, JMAP_LOGIN and JMAP_PASSWORD say where; the last line printed is what it found, as JSON.
import assert from "node:assert/strict";

// jmap-jam knows Bearer tokens only. The gateway asks a mail server that knows none: send the password instead.
const basic = Buffer.from(`${process.env.JMAP_LOGIN}:${process.env.JMAP_PASSWORD}`).toString("base64");
const plainFetch = globalThis.fetch;
globalThis.fetch = (url, init = {}) =>
  plainFetch(url, { ...init, headers: { ...init.headers, Authorization: `Basic ${basic}` } });

const { default: JamClient } = await import("jmap-jam");
const jam = new JamClient({ sessionUrl: process.env.JMAP_URL, bearerToken: "none" });
const accountId = await jam.getPrimaryAccount();
assert.equal((await jam.session).username, process.env.JMAP_LOGIN);

const [mailboxes] = await jam.api.Mailbox.get({ accountId });
const role = (name) => mailboxes.list.find((mailbox) => mailbox.role === name).id;

const [{ emails }] = await jam.requestMany((t) => {
  const ids = t.Email.query({ accountId, filter: { inMailbox: role("inbox") }, limit: 10 });
  const emails = t.Email.get({ accountId, ids: ids.$ref("/ids"), properties: ["subject", "from"] });
  return { ids, emails };
});

const octets = new Uint8Array(3000).map((_, at) => at % 256);
const blob = await jam.uploadBlob(accountId, octets, { headers: { "Content-Type": "image/png" } });
const download = await jam.downloadBlob({ accountId, blobId: blob.blobId, mimeType: "image/png", fileName: "ü/x.png" });
assert.deepEqual(new Uint8Array(await download.arrayBuffer()), octets);

if (process.argv.includes("write")) {
  const drafts = role("drafts");
  const archive = role("archive");
  const [made] = await jam.api.Email.set({
    accountId,
    create: {
      draft: {
        mailboxIds: { [drafts]: true },
        keywords: { $draft: true },
        from: [{ name: "Me", email: "me@mail.test" }],
        to: [{ name: null, email: "you@example.com" }],
        cc: [],
        subject: "From jam",
        bodyValues: { text: { value: "Colour #3b82f6.\n" } },
        textBody: [{ partId: "text", type: "text/plain" }],
        attachments: [{ blobId: blob.blobId, type: "image/png", name: "x.png" }],
      },
    },
  });
  assert.equal(made.notCreated ?? null, null);
  const { id } = made.created.draft;
  const read = async () =>
    (await jam.api.Email.get({ accountId, ids: [id], fetchTextBodyValues: true }))[0].list[0];
  let email = await read();
  assert.equal(email.bodyValues[email.textBody[0].partId].value, "Colour #3b82f6.\n");
  const [attachment] = email.attachments;
  assert.deepEqual([attachment.name, attachment.size], ["x.png", octets.length]);
  const back = await jam.downloadBlob({ accountId, blobId: attachment.blobId, mimeType: "image/png", fileName: "x" });
  assert.deepEqual(new Uint8Array(await back.arrayBuffer()), octets);

  const [moved] = await jam.api.Email.set({
    accountId,
    ifInState: made.newState,
    update: { [id]: { mailboxIds: { [archive]: true }, "keywords/$draft": null, "keywords/$flagged": true } },
  });
  assert.deepEqual(Object.keys(moved.updated), [id]);
  email = await read();
  assert.deepEqual([email.mailboxIds, email.keywords], [{ [archive]: true }, { $flagged: true }]);

  const [gone] = await jam.api.Email.set({ accountId, destroy: [id] });
  assert.deepEqual(gone.destroyed, [id]);
  assert.deepEqual((await jam.api.Email.get({ accountId, ids: [id] }))[0].notFound, [id]);
}

console.log(JSON.stringify({ roles: mailboxes.list.map((one) => one.role).filter(Boolean).sort(), emails: emails.list }));
