-- Asks bearerd whether a request may go on; apache2.conf calls it.

local GATE = "http://127.0.0.1:8080/_auth"

local http = require "socket.http"
local ltn12 = require "ltn12"
http.TIMEOUT = 5

-- Copied from the gate's answer to the request.
local IDENTITY = {
    "X-Auth-User", "X-Auth-Subject", "X-Auth-Issuer", "X-Auth-Scopes", "X-Auth-Roles",
    "X-Auth-Assertion",
}

-- Copied from a refusal to the client.
local REFUSAL = {"WWW-Authenticate", "Allow", "Retry-After", "Cache-Control"}

-- Letters and digits alone: what is left of a name that some servers make a variable of.
local function canonical(name)
    return (name:lower():gsub("[^a-z0-9]", ""))
end

-- What a client says about who is calling, and the token, which is for the gate: leave
-- "authorization" out where the application needs it, too.
local DROPPED = {authorization = true, forwarded = true}
for _, name in ipairs(IDENTITY) do DROPPED[canonical(name)] = true end

-- Where the request came from: mod_proxy sets X-Forwarded-For and -Host itself. And another method
-- or path than the one that is judged.
local DROPPED_PREFIXES = {"xforwarded", "xoriginal", "xrewrite", "xhttpmethod", "xmethod"}

local function is_dropped(name)
    if DROPPED[name] then return true end
    for _, prefix in ipairs(DROPPED_PREFIXES) do
        if name:sub(1, #prefix) == prefix then return true end
    end
    return false
end

local function strip(r)
    for name in pairs(r:headers_in_table()) do
        if is_dropped(canonical(name)) then r.headers_in[name] = nil end
    end
    -- What Connection names is taken off the request later on; a client could name X-Auth-User.
    local connection = (r.headers_in["Connection"] or ""):lower()
    local kept = {}
    for _, word in ipairs({"close", "keep-alive", "upgrade"}) do
        if connection:find(word, 1, true) then kept[#kept + 1] = word end
    end
    r.headers_in["Connection"] = #kept > 0 and table.concat(kept, ", ") or nil
end

-- Method and URI come from Apache; nothing of the client goes along but Host and the token.
local function ask(r)
    local body = {}
    local done, status, headers = http.request{
        url = GATE,
        redirect = false,
        sink = ltn12.sink.table(body),
        headers = {
            ["Host"] = r.headers_in["Host"],
            ["Authorization"] = r.headers_in["Authorization"],
            ["X-Original-Method"] = r.method,
            ["X-Original-URI"] = r.unparsed_uri,
        },
    }
    if not done then return 503, {}, "" end
    return status, headers, table.concat(body)
end

local function refuse(r, status, headers, body)
    for _, name in ipairs(REFUSAL) do r.err_headers_out[name] = headers[name:lower()] end
    r.status = status
    r.content_type = headers["content-type"] or "text/plain"
    r:write(body)
    return apache2.DONE
end

function ask_gate(r)
    local status, headers, body = ask(r)
    if status ~= 200 then
        -- Nothing but a refusal is passed on.
        if status < 400 or status > 599 then return 503 end
        return refuse(r, status, headers, body)
    end
    strip(r)
    for _, name in ipairs(IDENTITY) do r.headers_in[name] = headers[name:lower()] end
    return apache2.OK
end
