"""What can be wrong with signing, in words: why it matters to who sits at the counter, and what is to be done."""

from __future__ import annotations

from deploy.journal import Words
from deploy.runner.diagnosis import Cause

_APPLY = "lienxa apply {commune} --machine {machine} --role signing"

SERVICE_DOWN = Cause(
    "signing.service_down",
    english=Words(
        what="On {machine} the service that reads tokens (pcscd) does not run.",
        why="No program sees a token, whichever is plugged in.",
        do="`apply` starts it; if it does not stay up, `journalctl -u pcscd -n 50` on {machine} says why.",
    ),
    vietnamese=Words(
        what="Trên máy {machine}, dịch vụ đọc thiết bị ký số (pcscd) không chạy.",
        why="Không chương trình nào thấy thiết bị ký số, dù cắm thiết bị nào.",
        do="Lệnh `apply` khởi động lại; nếu vẫn dừng, xem `journalctl -u pcscd -n 50` trên máy {machine}.",
    ),
    command=_APPLY,
)
MODULE_GONE = Cause(
    "signing.module_gone",
    english=Words(
        what="The module for tokens of {module} is not on {machine}, or is not the one of the inventory.",
        why="Programs cannot talk to these tokens.",
        do="`apply` puts it there.",
    ),
    vietnamese=Words(
        what="Máy {machine} thiếu thư viện của thiết bị ký số {module}, hoặc thư viện không đúng bản trong hồ sơ.",
        why="Chương trình không dùng được loại thiết bị này.",
        do="Lệnh `apply` cài lại.",
    ),
    command=_APPLY,
)
MODULE_FOREIGN = Cause(
    "signing.module_architecture",
    english=Words(
        what="The module for tokens of {module} is made for {theirs}, and {machine} is {ours}.",
        why="It cannot be loaded here.",
        do="Ask the vendor for the 64-bit Linux module for {ours} and put it into province.yaml (upstream.modules).",
    ),
    vietnamese=Words(
        what="Thư viện của thiết bị ký số {module} dành cho bộ xử lý {theirs}, còn máy {machine} là {ours}.",
        why="Máy này không nạp được thư viện đó.",
        do="Xin nhà cung cấp bản Linux 64 bit cho {ours} rồi ghi vào province.yaml (upstream.modules).",
    ),
)
MODULE_UNREGISTERED = Cause(
    "signing.module_unregistered",
    english=Words(
        what="The module for tokens of {module} is on {machine}, but programs are not told of it.",
        why="The browser does not ask for a certificate, and signing programs show none.",
        do="`apply` registers it with p11-kit. If it stays so, a library is missing: `ldd {file}` says which.",
    ),
    vietnamese=Words(
        what="Thư viện của thiết bị ký số {module} đã có trên máy {machine} nhưng chưa được đăng ký với các chương "
        "trình.",
        why="Trình duyệt không hỏi chứng thư số, phần mềm ký không thấy chứng thư nào.",
        do="Lệnh `apply` đăng ký lại với p11-kit. Nếu vẫn vậy thì thiếu thư viện phụ: `ldd {file}` cho biết.",
    ),
    command=_APPLY,
)
MODULE_MISSING = Cause(
    "signing.module_missing",
    english=Words(
        what="A token of {vendor} is plugged into {machine} ({usb}), and no module for it is in the inventory.",
        why="This vendor's tokens speak a language of their own.",
        do="Get the PKCS#11 module for Linux from who issued the token, put it beside province.yaml and name it "
        "under "
        'upstream.modules, with its SHA-256 and `usb: ["{usb}"]`; then apply.',
    ),
    vietnamese=Words(
        what="Thiết bị ký số của {vendor} đã cắm vào máy {machine} ({usb}) nhưng hồ sơ chưa có thư viện cho loại "
        "này.",
        why="Thiết bị của hãng này cần thư viện riêng.",
        do="Xin nơi cấp thiết bị thư viện PKCS#11 cho Linux, đặt cạnh province.yaml, khai trong upstream.modules kèm "
        "SHA-256; sau đó chạy `apply`.",
    ),
)
NO_READER = Cause(
    "signing.no_reader",
    english=Words(
        what="No token and no card reader is plugged into {machine}.",
        why="Without it nobody can sign or log in to the portal here.",
        do="Plug the token in; its light has to burn. Try another socket, straight at the machine and not at a hub.",
    ),
    vietnamese=Words(
        what="Máy {machine} chưa cắm thiết bị ký số hay đầu đọc thẻ nào.",
        why="Không có thiết bị thì không ký số và không đăng nhập cổng một cửa được.",
        do="Cắm thiết bị ký số; đèn trên thiết bị phải sáng. Thử cổng USB khác, cắm thẳng vào máy, không qua bộ "
        "chia.",
    ),
)
NO_TOKEN = Cause(
    "signing.no_token",
    english=Words(
        what="The reader of {machine} ({reader}) is empty, or its card is not recognised.",
        why="The certificate is on the card.",
        do="Push the card in with the chip first and up, to the stop. A card of another vendor wants that vendor's "
        "module "
        "in the inventory.",
    ),
    vietnamese=Words(
        what="Đầu đọc trên máy {machine} ({reader}) chưa có thẻ, hoặc không nhận ra thẻ.",
        why="Chứng thư số nằm trên thẻ.",
        do="Đẩy thẻ vào hết, mặt chíp lên trên và vào trước. Thẻ của hãng khác cần thư viện của hãng đó trong hồ sơ.",
    ),
)
PIN_LOCKED = Cause(
    "signing.pin_locked",
    english=Words(
        what="The PIN of the token “{token}” is locked: it was typed wrong too often.",
        why="The token does nothing any more until it is unlocked.",
        do="Only who issued it can unlock it (with the SO PIN), or issue a new one: call them. Do not try further.",
    ),
    vietnamese=Words(
        what="Mã PIN của thiết bị ký số “{token}” đã bị khóa do nhập sai quá nhiều lần.",
        why="Thiết bị không dùng được nữa cho đến khi được mở khóa.",
        do="Chỉ nơi cấp thiết bị mới mở khóa được, hoặc cấp thiết bị mới: hãy gọi cho họ. Đừng thử thêm.",
    ),
)
PIN_LAST_TRY = Cause(
    "signing.pin_last_try",
    english=Words(
        what="The token “{token}” bears one more wrong PIN, then it is locked.",
        why="A locked token has to go back to who issued it.",
        do="Do not guess. Let the owner type it, slowly, with Vietnamese typing switched off; or ask who issued it.",
    ),
    vietnamese=Words(
        what="Thiết bị ký số “{token}” chỉ còn một lần nhập mã PIN, sai nữa sẽ bị khóa.",
        why="Thiết bị bị khóa phải gửi lại nơi cấp.",
        do="Đừng đoán. Để chủ thiết bị tự nhập, chậm, tắt bộ gõ tiếng Việt; hoặc hỏi nơi cấp.",
    ),
)
NO_CERTIFICATE = Cause(
    "signing.no_certificate",
    english=Words(
        what="There is no certificate on the token “{token}”.",
        why="It was never written to it, or somebody erased the token.",
        do="Ask who issued it to write the certificate onto it.",
    ),
    vietnamese=Words(
        what="Thiết bị ký số “{token}” không có chứng thư số nào.",
        why="Chứng thư chưa được nạp, hoặc thiết bị đã bị xóa.",
        do="Đề nghị nơi cấp nạp chứng thư số vào thiết bị.",
    ),
)
EXPIRED = Cause(
    "signing.certificate_expired",
    english=Words(
        what="The certificate of {owner} has ended on {date}.",
        why="The portal refuses the log-in, and what is signed with it counts for nothing.",
        do="Ask who issued it for its renewal; that is done over their own page or at their office.",
    ),
    vietnamese=Words(
        what="Chứng thư số của {owner} đã hết hạn ngày {date}.",
        why="Cổng từ chối đăng nhập, văn bản ký bằng chứng thư này không có giá trị.",
        do="Đề nghị nơi cấp gia hạn chứng thư số.",
    ),
)
NOT_YET = Cause(
    "signing.certificate_not_yet",
    english=Words(
        what="The certificate of {owner} is in force from {date} on only.",
        why="Until then the portal refuses it.",
        do="Wait until then, or is the clock of {machine} wrong? lienxa doctor {commune} --machine {machine} "
        "--topic network",
    ),
    vietnamese=Words(
        what="Chứng thư số của {owner} đến ngày {date} mới có hiệu lực.",
        why="Trước ngày đó cổng từ chối.",
        do="Đợi đến ngày đó; hoặc xem đồng hồ của máy {machine} có đúng không.",
    ),
)
ENDS_SOON = Cause(
    "signing.certificate_ends",
    english=Words(
        what="The certificate of {owner} ends on {date}, in {days} days.",
        why="From then on the portal refuses the log-in; a renewal takes days.",
        do="Ask who issued it for its renewal now.",
    ),
    vietnamese=Words(
        what="Chứng thư số của {owner} sẽ hết hạn ngày {date}, còn {days} ngày.",
        why="Sau ngày đó cổng từ chối đăng nhập; gia hạn mất vài ngày.",
        do="Đề nghị nơi cấp gia hạn ngay từ bây giờ.",
    ),
    warning=True,
)
REVOKED = Cause(
    "signing.certificate_revoked",
    english=Words(
        what="The certificate of {owner} was revoked by {issuer}.",
        why="Everybody refuses it from now on, also where it has not ended.",
        do="Ask the owner: was the token reported lost, has the office changed? A new certificate is to be asked "
        "for.",
    ),
    vietnamese=Words(
        what="Chứng thư số của {owner} đã bị {issuer} thu hồi.",
        why="Từ nay mọi nơi đều từ chối chứng thư này, dù chưa hết hạn.",
        do="Hỏi chủ chứng thư: đã báo mất thiết bị hay thay đổi chức vụ? Phải xin cấp chứng thư mới.",
    ),
)
OTHER_PERSON = Cause(
    "signing.other_person",
    english=Words(
        what="The token in {machine} is that of {owner}, who is nobody's name among those who sign in here "
        "({people}).",
        why="Whoever signs with it signs in another's name.",
        do="Give it back to its owner. If that is somebody of this machine, write the name in `people` as it "
        "stands in the "
        "certificate.",
    ),
    vietnamese=Words(
        what="Thiết bị ký số cắm ở máy {machine} là của {owner}, không phải người dùng máy này ({people}).",
        why="Ký bằng thiết bị đó là ký tên người khác.",
        do="Trả lại cho chủ. Nếu đúng là người dùng máy này, ghi họ tên trong `people` đúng như trong chứng thư.",
    ),
)
WRONG_USAGE = Cause(
    "signing.wrong_usage",
    english=Words(
        what="The certificate of {owner} is not meant for signing ({usage}).",
        why="Portals and programs leave it out of what they offer, or refuse it.",
        do="Ask who issued it for one with the key usage digitalSignature; perhaps there is a second one on "
        "another token.",
    ),
    vietnamese=Words(
        what="Chứng thư số của {owner} không dùng để ký số ({usage}).",
        why="Cổng và phần mềm không đưa vào danh sách chọn, hoặc từ chối.",
        do="Đề nghị nơi cấp chứng thư có mục đích digitalSignature; có thể chứng thư đó nằm ở thiết bị khác.",
    ),
)
CHAIN_INCOMPLETE = Cause(
    "signing.chain_incomplete",
    english=Words(
        what="Nothing is known of “{issuer}”, who issued the certificate of {owner}.",
        why="Programs cannot trace the certificate to somebody they believe in, and call the signature invalid.",
        do="Get the certificate of “{issuer}” from its own page, compare its SHA-256 by another way, and put it "
        "under "
        "upstream.trust_anchors in province.yaml; then apply.",
    ),
    vietnamese=Words(
        what="Hồ sơ chưa có chứng thư của “{issuer}”, nơi cấp chứng thư số cho {owner}.",
        why="Chương trình không lần được tới nơi đáng tin cậy nên báo chữ ký không hợp lệ.",
        do="Lấy chứng thư của “{issuer}”, đối chiếu SHA-256 qua kênh khác, khai vào upstream.trust_anchors trong "
        "province.yaml rồi chạy `apply`.",
    ),
)
ANCHOR_MISSING = Cause(
    "signing.anchor_missing",
    english=Words(
        what="The root “{root}”, to which the certificate of {owner} leads, is not among those that are believed in.",
        why="Perhaps there is a new generation of it: signatures that are good are called invalid.",
        do="Get the root's certificate from its own page, compare its SHA-256 by another way, and put it under "
        "upstream.trust_anchors in province.yaml, beside the old one; then apply.",
    ),
    vietnamese=Words(
        what="Gốc tin cậy “{root}” của chứng thư số {owner} chưa có trong danh sách được tin.",
        why="Có thể nơi cấp đã sang thế hệ gốc mới: chữ ký đúng vẫn bị báo không hợp lệ.",
        do="Lấy chứng thư gốc, đối chiếu SHA-256 qua kênh khác, khai vào upstream.trust_anchors trong province.yaml, "
        "cạnh bản cũ, rồi chạy `apply`.",
    ),
)
ANCHOR_ENDED = Cause(
    "signing.anchor_ended",
    english=Words(
        what="The authority “{authority}”, which vouches for {owner}, has ended on {date}.",
        why="What stands below an authority that has ended is refused.",
        do="The certificate is of an old generation: ask who issued it for one of the new generation.",
    ),
    vietnamese=Words(
        what="Nơi chứng thực “{authority}” của chứng thư {owner} đã hết hiệu lực ngày {date}.",
        why="Chứng thư thuộc gốc đã hết hiệu lực đều bị từ chối.",
        do="Chứng thư thuộc thế hệ cũ: đề nghị nơi cấp đổi sang thế hệ mới.",
    ),
)
ANCHOR_NOT_HERE = Cause(
    "signing.anchor_not_here",
    english=Words(
        what="{machine} does not have the certificate of the authority “{authority}”, which the inventory has.",
        why="Signatures that are good are called invalid here.",
        do="`apply` puts it there.",
    ),
    vietnamese=Words(
        what="Máy {machine} thiếu chứng thư của nơi chứng thực “{authority}” đã có trong hồ sơ.",
        why="Chữ ký đúng vẫn bị báo không hợp lệ trên máy này.",
        do="Lệnh `apply` cài lại.",
    ),
    command=_APPLY,
)
REVOCATION_AWAY = Cause(
    "signing.revocation_unreachable",
    english=Words(
        what="{machine} does not reach {url}, where is said which certificates were revoked.",
        why="Programs that ask there wait, or call good signatures unverified.",
        do="The line is good: is the address right, does a firewall of the province stand between? Tell the "
        "authority.",
    ),
    vietnamese=Words(
        what="Máy {machine} không vào được {url}, nơi công bố chứng thư bị thu hồi.",
        why="Chương trình phải chờ, hoặc báo chữ ký chưa xác minh được.",
        do="Đường truyền vẫn tốt: địa chỉ có đúng không, tường lửa của tỉnh có chặn không? Báo cho nơi cấp.",
    ),
)
STAMPS_AWAY = Cause(
    "signing.time_stamps_unreachable",
    english=Words(
        what="{machine} gets no time stamp from {url}.",
        why="Signatures of dossiers need one; signing programs fail or sign without it.",
        do="The line is good: is the address right (options.signing.time_stamps)? Tell who runs the service.",
    ),
    vietnamese=Words(
        what="Máy {machine} không lấy được dấu thời gian từ {url}.",
        why="Chữ ký trên hồ sơ cần dấu thời gian; phần mềm ký sẽ lỗi hoặc ký thiếu dấu.",
        do="Đường truyền vẫn tốt: địa chỉ có đúng không (options.signing.time_stamps)? Báo cho đơn vị vận hành.",
    ),
)
SLOW = Cause(
    "signing.slow",
    english=Words(
        what="{url} takes {seconds} s to answer {machine}.",
        why="At every signature programs wait for it, and people think that they hang.",
        do="Is the line busy? lienxa doctor {commune} --topic network. Else tell who runs the service.",
    ),
    vietnamese=Words(
        what="{url} mất {seconds} giây mới trả lời máy {machine}.",
        why="Mỗi lần ký chương trình phải chờ, người dùng tưởng máy bị treo.",
        do="Đường truyền có đang nghẽn không? Nếu không, báo cho đơn vị vận hành.",
    ),
    warning=True,
)
