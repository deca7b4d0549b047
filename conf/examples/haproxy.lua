-- Asks bearerd whether a request may go on; haproxy.cfg loads it and says where bearerd is.

local GATE = os.getenv("GATE")
local TIMEOUT_MS = 5000

-- Copied from the gate's answer to the request. What a client sent under these names is gone by then.
local IDENTITY = {
    "x-auth-user", "x-auth-subject", "x-auth-issuer", "x-auth-scopes", "x-auth-roles",
    "x-auth-assertion",
}

-- Copied from a refusal to the client.
local REFUSAL = {"www-authenticate", "allow", "retry-after", "content-type", "cache-control"}

-- All the values of a header, in order. HAProxy counts them from 0.
local function values(headers, name)
    local found = {}
    local sent = headers and headers[name]
    local i = 0
    while sent and sent[i] do
        found[#found + 1] = sent[i]
        i = i + 1
    end
    return found
end

-- Method and URI come from HAProxy. All of Authorization goes along: several are a refusal.
local function ask(txn)
    local sent = txn.http:req_get_headers()
    return core.httpclient():get{
        url = GATE,
        timeout = TIMEOUT_MS,
        headers = {
            ["host"] = values(sent, "host"),
            ["authorization"] = values(sent, "authorization"),
            ["x-original-method"] = {txn.f:method()},
            ["x-original-uri"] = {txn.f:url()},
        },
    }
end

local function refuse(txn, answer)
    local reply = txn:reply{status = answer.status, body = answer.body}
    for _, name in ipairs(REFUSAL) do
        for _, value in ipairs(values(answer.headers, name)) do reply:add_header(name, value) end
    end
    txn:done(reply)
end

core.register_action("ask_gate", {"http-req"}, function(txn)
    local answer = ask(txn)
    if not answer or answer.status ~= 200 then
        -- Nothing but a refusal is passed on; all else is haproxy.cfg's 503.
        if answer and answer.status >= 400 and answer.status < 600 then refuse(txn, answer) end
        return
    end
    for _, name in ipairs(IDENTITY) do
        for _, value in ipairs(values(answer.headers, name)) do
            txn.http:req_add_header(name, value)
        end
    end
    txn:set_var("txn.gate_allows", true)
end)
