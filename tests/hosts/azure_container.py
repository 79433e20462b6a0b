"""Creates a container in Azurite. Arguments: the endpoint with the account, the name of the container, the account key."""

import base64
import hashlib
import hmac
import sys
import urllib.request
from email.utils import formatdate

endpoint, container, key = sys.argv[1:]
account = endpoint.rsplit("/", 1)[1]
date = formatdate(usegmt=True)
headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
resource = f"/{account}/{account}/{container}\nrestype:container"
# The method, eleven absent headers, and the resource.
text = "PUT" + "\n" * 12 + headers + resource
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
request = urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT")
request.add_header("x-ms-date", date)
request.add_header("x-ms-version", "2021-08-06")
request.add_header("Authorization", f"SharedKey {account}:{base64.b64encode(digest).decode()}")
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
