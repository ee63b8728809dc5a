-- The action "antiscrape HOST PORT" for HAProxy: asks antiscrape, which listens there, about a request, and writes down
-- what it says.
--
-- The question goes over a socket of its own and not through HAProxy's HTTP client, which takes a table of fields and
-- so forgets their order; in what order a client sends its fields is part of what it looks like. Nothing of the
-- client's body is sent. Variables that are set:
--
--   txn.antiscrape        "allow": the site answers; "take": antiscrape does, and is to be brought txn.antiscrape_take;
--                         "refuse": nobody does; "away": antiscrape could not be asked
--   txn.antiscrape_cache  what is to be said of caching, where a picture is allowed

-- What the question says itself, and what belongs to one connection or to a body (RFC 9110, section 7.6.1).
local left_out = {
    ["x-original-uri"] = true, ["x-original-method"] = true, ["x-antiscrape-take"] = true,
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["expect"] = true,
}

local function question(txn)
    local lines = {
        "GET /.antiscrape/verdict HTTP/1.1",
        "x-original-uri: " .. txn.sf:pathq(),
        "x-original-method: " .. txn.sf:method(),
        "connection: close",
    }
    for line in txn.sf:req_hdrs():gmatch("([^\r\n]+)\r?\n") do
        local name = line:match("^([^:]+):")
        if name and not left_out[name:lower()] then
            lines[#lines + 1] = line
        end
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- Return the status and the fields of the answer, or nil where there is none.
local function ask(txn, host, port)
    local socket = core.tcp()
    socket:settimeout(5)
    if not socket:connect(host, tonumber(port)) or not socket:send(question(txn)) then
        socket:close()
        return nil
    end
    local line = socket:receive("*l")
    local status = line and tonumber(line:match("^HTTP/1%.1 (%d%d%d)"))
    local fields = {}
    while status do
        line = socket:receive("*l")
        if not line then
            status = nil  -- cut off in the middle: no answer
        elseif line == "" or line == "\r" then
            break
        else
            local name, value = line:match("^([^:]+):%s*(.-)%s*$")
            if name then
                fields[name:lower()] = value
            end
        end
    end
    socket:close()
    return status, fields
end

core.register_action("antiscrape", {"http-req"}, function(txn, host, port)
    local status, fields = ask(txn, host, port)
    local take = fields and fields["x-antiscrape-take"]
    if status == 200 then
        txn:set_var("txn.antiscrape", "allow")
        if fields["x-antiscrape-cache-control"] then
            txn:set_var("txn.antiscrape_cache", fields["x-antiscrape-cache-control"])
        end
    elseif status == 401 and take then
        txn:set_var("txn.antiscrape", "take")
        txn:set_var("txn.antiscrape_take", take)
    elseif status == 403 then
        txn:set_var("txn.antiscrape", "refuse")
    else
        txn:set_var("txn.antiscrape", "away")
    end
end, 2)
